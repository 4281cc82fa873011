"""The loop's two verbs: score a window, then learn from it. Knows no Ray and no MLflow."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from easq.answer_memory import AnswerMemory
from easq.encoding import encode
from easq.features import FeatureSpec
from easq.model.collisions import SeenIds
from easq.samples import Flat, flatten
from easq.train.budget import BudgetState, Measured, steered
from easq.train.checkpoint import Contents, contents_of, load_checkpoint, write_checkpoint
from easq.train.collate import Collator
from easq.train.collective import all_max, rank, world_size
from easq.train.config import TrainConfig
from easq.train.methods import METHODS, check_checkpointed
from easq.train.monitors import Monitors
from easq.train.position import Position
from easq.train.prequential import measured_loss, prequential_metrics
from easq.train.share import WindowShare
from easq.train.step import initial_state, train_step


class NotFiniteError(ArithmeticError):
    """A window has spoilt the weights."""


class WindowScores(NamedTuple):
    """A window's samples of this rank and the scores they had before they were learnt from."""

    flat: Flat
    main: np.ndarray  # [N]
    satisfaction: np.ndarray | None  # [N]
    metrics: dict[str, float]  # over all workers
    loss: Measured | None = None  # of behaviour, where the run has a budget


class Learner:
    """A ranker that learns window by window, the same on every worker after every window."""

    def __init__(
        self,
        config: TrainConfig,
        spec: FeatureSpec,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.config, self.spec, self.device, self.dtype = config, spec, device, dtype
        self.state = initial_state(config, spec, device, dtype)
        self.memory = AnswerMemory(config.pairs.remembered_per_user, config.pairs.window_days)
        reads = METHODS[config.model.method].reads(config)
        self.collator = Collator(spec, config.order, config.pairs, self.memory, reads)
        self.seen = SeenIds(spec)
        self.touched = {w: torch.zeros(len(t), dtype=torch.bool) for w, t in self._tables()}
        start = None if config.budget is None else BudgetState(gamma=config.loss.offset)
        self.position = Position(schema_hash=spec.schema_hash, budget=start)

    @property
    def next_window(self) -> int:
        """The first window not yet learnt from."""
        return self.position.next_window

    def score(self, share: WindowShare) -> WindowScores:
        """Score this rank's rows of a window that has not been learnt from."""
        parts = [
            self._score(share.rows.slice(start, self.config.optim.batch))
            for start in range(0, share.rows.num_rows, self.config.optim.batch)
        ]
        flat = flatten(share.rows)
        self.seen.observe(flat.columns)
        main = np.concatenate([np.zeros(0, np.float32), *(y for y, _ in parts)])
        satisfaction = None
        if self.state.satisfaction is not None:
            given = [s for _, s in parts if s is not None]
            satisfaction = np.concatenate([np.zeros(0, np.float32), *given])
        metrics = prequential_metrics(flat, main, satisfaction, self.config.order, self.device)
        return WindowScores(flat, main, satisfaction, metrics, self._lost(flat, main, satisfaction))

    def _lost(
        self, flat: Flat, main: np.ndarray, satisfaction: np.ndarray | None
    ) -> Measured | None:
        if (budget := self.position.budget) is None or satisfaction is None:
            return None
        return measured_loss(flat, main, satisfaction, budget.gamma, self.config.order, self.device)

    @torch.inference_mode()
    def _score(self, rows: pa.Table) -> tuple[np.ndarray, np.ndarray | None]:
        inputs = encode(self.spec, flatten(rows).columns).to(self.device, self.dtype)
        scores = self.state.ranker(self.state.tables.tokens(inputs), inputs.slots)
        satisfaction = None if scores.satisfaction is None else scores.satisfaction.cpu().numpy()
        return scores.main.cpu().numpy(), satisfaction

    def learn(self, share: WindowShare, lost: Measured | None = None) -> dict[str, float]:
        """Take all steps of a window; returns its losses and monitors over all workers.

        Args:
            lost: what `score` measured on the window; without it a budget's gamma stays.
        """
        self._expect(share)
        config = self._within_budget(lost)
        experts = (self.config.model.main.experts, self.config.model.satisfaction.experts)
        monitors = Monitors(experts, self.device)
        if self.state.teacher is not None:
            self.state.teacher.begin_window(share, self.state.ranker, self.state.tables)
        steps, touched = 0, []
        for batch in self.collator.batches(share, self.config.optim.batch, rank(), world_size()):
            batch = batch.to(self.device, self.dtype)
            result = train_step(self.state, batch, config)
            monitors.add(result, batch)
            for width, ids in result.touched.items():
                self.touched[width][ids.cpu()] = True
            touched.append(result.touched)
            steps += 1
        watched = monitors.result()
        self._check_finite(share, watched, touched)
        self._advance(share, steps, share.num_requests)
        return watched | self._budget_metrics()

    def _within_budget(self, lost: Measured | None) -> TrainConfig:
        """Move gamma; returns the configuration with it."""
        if (budget := self.position.budget) is None or self.config.budget is None:
            return self.config
        if lost is not None:
            budget = steered(budget, lost, self.config.budget)
            self.position = self.position.model_copy(update={"budget": budget})
        loss = self.config.loss.model_copy(update={"offset": budget.gamma})
        return self.config.model_copy(update={"loss": loss})

    def _budget_metrics(self) -> dict[str, float]:
        if (budget := self.position.budget) is None:
            return {}
        return {
            "budget/gamma": budget.gamma,
            "budget/behaviour_loss_percent": budget.behaviour_loss_percent,
        }

    def skip(self, share: WindowShare) -> None:
        """Go past a window without learning from it."""
        self._expect(share)
        self._advance(share, 0, 0)

    def _expect(self, share: WindowShare) -> None:
        if share.window != self.next_window:
            raise ValueError(
                f"window {share.window} came where window {self.next_window} was expected"
            )

    def _check_finite(
        self, share: WindowShare, watched: dict[str, float], touched: list[dict[int, Tensor]]
    ) -> None:
        """All workers hold the same numbers, so that all of them raise or none."""
        losses = {name: value for name, value in watched.items() if name.startswith("loss/")}
        moved = list(self.state.ranker.parameters())
        moved += [self.state.tables.weight[w][ids] for rows in touched for w, ids in rows.items()]
        total = torch.stack([m.detach().abs().sum(dtype=torch.float64) for m in moved]).sum()
        if not (np.isfinite(list(losses.values())).all() and torch.isfinite(total)):
            raise NotFiniteError(
                f"learning window {share.window} gives weights or losses that are not finite "
                f"({losses}); it is tried again from the last checkpoint"
            )

    def _advance(self, share: WindowShare, steps: int, requests: int) -> None:
        self.position = self.position.model_copy(
            update={
                "next_window": share.window + 1,
                "step": self.position.step + steps,
                "requests": self.position.requests + requests,
                "history_windows": share.num_windows,
                "offsets": dict(share.offsets),
            }
        )

    def collision_share(self) -> float:
        """Embedding rows that two ids share, over the rows in use by all workers' data."""
        return self.seen.share(self._merged_seen())

    def _merged_seen(self) -> dict[int, Tensor]:
        """All workers' fingerprints as one; where two saw different ids, the row is shared."""
        merged = {}
        for width, rows in self.seen.fingerprint.items():
            wide = rows.to(self.device, torch.int32)
            unset = torch.full_like(wide, -(2**16))
            high = all_max(wide.where(wide != 0, unset))
            low = -all_max((-wide).where(wide != 0, unset))
            one = high.where(high == low, torch.full_like(high, -1))
            merged[width] = one.where(high != unset, torch.zeros_like(high)).to("cpu", torch.int16)
        return merged

    def contents(self) -> Contents:
        """What a checkpoint holds. All workers call it: it merges what each has seen.

        Raises:
            ValueError: the method has a teacher, which no checkpoint holds.
        """
        check_checkpointed(self.config)
        return contents_of(self.state, self.memory, self._merged_seen(), self.position)

    def save(self, directory: Path) -> None:
        """Write a checkpoint. All workers call it; rank 0 writes."""
        contents = self.contents()
        if rank() == 0:
            write_checkpoint(directory, contents)

    def restore(self, directory: Path) -> None:
        """Go on from a checkpoint."""
        start = self.position.budget
        position = load_checkpoint(
            directory, self.state, self.memory, self.seen.fingerprint, self.spec.schema_hash
        )
        budget = None if start is None else position.budget or start
        self.position = position.model_copy(update={"budget": budget})

    def _tables(self) -> list[tuple[int, Tensor]]:
        return list(self.state.tables.weight.items())
