"""What the demo shows, and the configurations of its trainings."""

from pathlib import Path
from typing import NamedTuple

from easq.model.config import ModelConfig
from easq.train.config import TrainConfig

MODEL, SAMPLES = "easq-ranker", "samples"


class Plan(NamedTuple):
    """What is shown: logs of viewers, or simulated ones and how many."""

    data: Path | None
    requests: int
    seconds: float


def settings_of(folder: Path, plan: Plan) -> str:
    """The configuration of the tracked run, as a user would write it."""
    window = 2048 if plan.data is None else '"day"'
    return f"""
[run]
name = "easq"
storage = "{folder / "runs"}"
keep_scores = true

[data]
history = "{folder / SAMPLES}"
window = {window}

[stream]
log = "sqlite:///{folder / "log.db"}"

[tracking]
uri = "sqlite:///{folder / "mlflow.db"}"
model_name = "{MODEL}"
register_every_minutes = 0.1
"""


def configs_of(config: TrainConfig, plan: Plan) -> list[TrainConfig]:
    """EASQ on the history alone, tracked and registered; beside it what it is compared with."""
    easq = config.model_copy(update={"stream": None})
    beside = easq.model_copy(update={"tracking": None})

    def other(name: str, seed: int, **changes: object) -> TrainConfig:
        run = config.run.model_copy(update={"name": name, "seed": seed})
        return beside.model_copy(update={"run": run, **changes})

    if plan.data is None:
        return [easq, other("emer", 0, model=ModelConfig(method="emer"))]
    return [easq, *(other(f"easq-seed-{seed}", seed) for seed in (1, 2))]
