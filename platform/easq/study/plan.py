"""How large a study is: worlds, draws of first weights, and what each trial simulates."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import SCENARIOS, TrafficConfig
from easq.study.methods import Method, Point
from easq.study.trial import Split, Trial

Preset = Literal["quick", "evidence", "paper"]


class Plan(BaseModel):
    """What all jobs of a study share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    worlds: tuple[int, ...] = Field(min_length=1)
    """Seeds of simulated worlds."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """Seeds of first weights, the same in every world and for every method."""
    simulation: SimulationConfig
    split: Split = Split(warm_days=3, validation_days=1)
    settings: dict[str, Any] = {"model.width": 32, "data.window": 1024, "optim.batch": 128}
    """Dotted keys of TrainConfig that all trials share; a method's own come on top."""

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Judged apart, as the paper's two are."""
        return SCENARIOS

    def trial(self, world: int, seed: int, point: Point) -> Trial:
        """Raises ValueError for settings that a trial refuses."""
        changed: dict[str, Any] = {"seed": world}
        if point.questionnaire is not None:
            changed["questionnaire"] = point.questionnaire
        return Trial(
            simulation=self.simulation.model_copy(update=changed),
            split=self.split,
            seed=seed,
            settings={**self.settings, **point.settings},
        )

    def trials(self, methods: Mapping[str, Method]) -> list[Trial]:
        """All of a comparison, each once, those of one seed and world beside each other."""
        points = [point for method in methods.values() for point in method.points()]
        every = [self.trial(w, s, p) for w in self.worlds for s in self.seeds for p in points]
        return list({trial.key: trial for trial in every}.values())


PRESETS: dict[Preset, Plan] = {
    "quick": Plan(
        worlds=(0,),
        seeds=(0, 1),
        simulation=SimulationConfig(traffic=TrafficConfig(requests=30_000)),
    ),
    "evidence": Plan(
        worlds=(0, 1, 2, 3, 4),
        seeds=(0, 1, 2, 3, 4),
        simulation=SimulationConfig(traffic=TrafficConfig(requests=30_000)),
    ),
    "paper": Plan(
        worlds=(0, 1, 2, 3, 4),
        seeds=(0, 1, 2, 3, 4),
        simulation=SimulationConfig(
            traffic=TrafficConfig(requests=3_000_000), questionnaire="paper"
        ),
        settings={"model.width": 64, "data.window": 4096, "optim.batch": 256},
    ),
}
"""quick: minutes on two cores. evidence: hours there. paper: answers as rare as the paper's, one
in 12,000 views, for a cluster."""
