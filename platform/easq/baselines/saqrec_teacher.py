"""SAQRec's satisfaction model: fitted from time to time on what was logged, frozen in between."""

from collections import deque
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from easq.answer_memory import DAY_MS
from easq.baselines.ipw import Views, fit_propensity, fit_satisfaction
from easq.encoding import Inputs, encode
from easq.events import Answer
from easq.features import HOUR_MS, FeatureSpec
from easq.model.embedding import EmbeddingTables
from easq.questionnaire import is_eligible
from easq.samples import flatten
from easq.train.collective import world_size
from easq.train.config import TrainConfig
from easq.train.method import ServingRanker
from easq.train.share import WindowShare

CHUNK = 512
FEWEST_ANSWERS = 10


class SaqrecTeacher:
    """Log-odds of Satisfied for any candidate, corrected for who answers.

    The propensity is that of an answer given an eligible view. It includes the chance of being
    asked, which the trigger rule makes equal for eligible views, so that it cancels.

    Raises:
        ValueError: there are several workers; each sees its own unanswered views alone, and they
            would fit different models.
    """

    def __init__(self, config: TrainConfig, spec: FeatureSpec) -> None:
        if world_size() > 1:
            raise ValueError("model.method saqrec fits its teacher on one worker: workers.num = 1")
        self.config, self.spec = config, spec
        self.recent: deque[pa.Table] = deque()
        self.answered: deque[pa.Table] = deque()
        self.due_ms: int | None = None
        self.fits = 0
        self.model: nn.Module | None = None
        self.tables: EmbeddingTables | None = None

    @property
    def ready(self) -> bool:
        return self.model is not None

    def begin_window(
        self, share: WindowShare, ranker: ServingRanker, tables: EmbeddingTables
    ) -> None:
        """Fit on the windows before this one, if it is time; then remember this one."""
        now_ms = share.rows.column("request_time_ms")[0].as_py()
        every_ms = int(self.config.saqrec.refresh_hours * HOUR_MS)
        if self.due_ms is None:
            self.due_ms = now_ms + every_ms
        elif now_ms >= self.due_ms:
            self._fit(tables.copy())
            self.due_ms = now_ms + every_ms
        self._remember(share, now_ms)

    @torch.no_grad()
    def scores(self, inputs: Inputs) -> Tensor:
        assert self.model is not None
        assert self.tables is not None
        return self.model(self.tables.tokens(inputs)).squeeze(1)

    def _remember(self, share: WindowShare, now_ms: int) -> None:
        """The newest requests, and the answered ones of as many days as answers make pairs."""
        self.recent.append(share.rows)
        self.answered.append(share.answered)
        most = self.config.saqrec.propensity_requests
        while len(self.recent) > 1 and sum(t.num_rows for t in self.recent) - most >= (
            self.recent[0].num_rows
        ):
            self.recent.popleft()
        oldest_ms = now_ms - self.config.pairs.window_days * DAY_MS
        while self.answered and _last_ms(self.answered[0]) < oldest_ms:
            self.answered.popleft()

    def _fit(self, tables: EmbeddingTables) -> None:
        recent, answered = self._views(self.recent, tables), self._views(self.answered, tables)
        decided = answered.decided > 0
        answered = Views(*(values[decided] for values in answered))
        kinds = len(answered.satisfied.unique())
        if kinds < 2 or len(answered.satisfied) < FEWEST_ANSWERS:
            return
        saqrec = self.config.saqrec
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.run.seed + self.fits)
            propensity = fit_propensity(recent, saqrec.epochs)
            model = fit_satisfaction(answered, recent, propensity, saqrec.clip, saqrec.epochs)
        self.model, self.tables, self.fits = model, tables, self.fits + 1

    def _views(self, parts: Iterable[pa.Table], tables: EmbeddingTables) -> Views:
        """Exposed candidates that the questionnaire may follow; answered ones are among them."""
        whole = pa.concat_tables(parts)
        chunks = [
            _views(whole.slice(start, CHUNK), self.spec, tables)
            for start in range(0, whole.num_rows, CHUNK)
        ]
        return Views(*(torch.cat(column) for column in zip(*chunks, strict=True)))


@torch.no_grad()
def _views(table: pa.Table, spec: FeatureSpec, tables: EmbeddingTables) -> Views:
    flat, some = flatten(table), next(iter(tables.weight.values()))
    answer = flat.answer
    eligible = is_eligible(flat.watched_seconds, flat.duration_seconds) & flat.exposed
    kept = np.flatnonzero(eligible | (answer != Answer.NONE))
    decided = np.isin(answer[kept], (Answer.SATISFIED, Answer.DISSATISFIED))
    x = tables.tokens(encode(spec, flat.columns).to(some.device, some.dtype))
    labels = (torch.from_numpy(v).to(x) for v in (decided, answer[kept] == Answer.SATISFIED))
    return Views(x[torch.from_numpy(kept).to(x.device)], *labels)


def _last_ms(table: pa.Table) -> int:
    return table.column("request_time_ms")[-1].as_py() if table.num_rows else 0
