"""The configuration of a training run, read from TOML and refused where it is not understood."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from easq.baselines.config import ClassicDpoConfig, ImputationConfig, SaqrecConfig
from easq.model.config import ModelConfig
from easq.pairs import PairsConfig
from easq.policy_space import Space
from easq.samples import BehaviourOrder
from easq.train.budget import GAMMAS, BudgetConfig


class Section(BaseModel):
    """A table of the configuration file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RunSection(Section):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    """A run of the same name is resumed from its last checkpoint."""
    storage: Path
    """Folder (shared by all nodes) under which the run keeps its checkpoints."""
    seed: int = 0
    keep_scores: bool = False
    """Write every window's scores as Parquet, to evaluate afterwards."""


class DataSection(Section):
    history: Path
    """A folder made by `easq import` or `easq simulate`."""
    window: Literal["day"] | Annotated[int, Field(ge=1, strict=True)] = 4096
    """Requests a window: scored first, then learnt from. `day`: a whole local day."""

    @property
    def max_requests(self) -> int | None:
        """Of a window; None: whole local days."""
        return None if self.window == "day" else self.window


class LossSection(Section):
    """Eq. 17 and Eq. 16. Every loss is a mean over its pairs, so the weights are scale-free."""

    satisfaction: float = Field(default=1.0, ge=0)
    """lambda_1."""
    alignment: float = Field(default=2.0, ge=0)
    """lambda_2; with beta = 0.1 the push per pair is about lambda_2 * 0.05."""
    beta: float = Field(default=0.1, gt=0)
    reference: Literal["satisfaction", "self", "none"] = "satisfaction"
    """pi_ref of Eq. 16: stop_grad of s-hat (the text), of y-hat (as printed), or nothing."""
    space: Space = "logit"
    reference_margin_limit: float | None = Field(default=2.0, gt=0)
    """Bound on the reference's margin, whose loss does not bound it. None: unbounded."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    offset: float = Field(default=0.0, ge=0)
    """gamma: L_main is taken of y-hat - gamma stop_grad(s-hat), so that the served y-hat becomes
    behaviour's log-odds plus gamma times satisfaction's, for every pair and not for answered ones
    alone. Not in the paper, where it is 0."""
    behaviours: float = Field(default=0.0, ge=0)
    """Weight of L_behaviours, for model.behaviour_heads: each behaviour of each view by itself, an
    effective view of all that were exposed, the others of those that a questionnaire may follow.
    Not in the paper, where it is 0."""


class OptimSection(Section):
    learning_rate: float = Field(default=1e-3, gt=0)
    """Adam, dense weights (EASQ §5.1.4)."""
    rows_learning_rate: float = Field(default=1e-3, gt=0)
    """Lazy Adam, embedding rows."""
    batch: int = Field(default=256, ge=1)
    """Requests a step, over all workers together."""


Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$", max_length=63)]
"""Value of a label of a Ray node: `ray start --labels role=training`."""


READ_CPUS = 0.25
"""CPU slots of a worker's read task, which mostly waits for the worker."""


class WorkersSection(Section):
    num: int = Field(default=1, ge=1)
    threads: int = Field(default=1, ge=1)
    """Compute threads a worker; all workers together should not exceed the cores."""
    use_gpu: bool = False
    backend: Literal["gloo", "nccl"] = "gloo"
    max_failures: int = Field(default=8, ge=-1)
    """How often a failed worker group is started again; -1: for ever."""
    spares: int = Field(default=0, ge=0)
    """Idle processes, their imports done, in which a failed group starts again sooner: one a
    worker and one more. For Ray to keep them, see jobs/local_ray.py; each takes some 350 MB."""
    hang_seconds: float = Field(default=300.0, gt=0)
    """Of a run with a log: a worker ends that has neither come to a next window nor used the CPU
    for so long. More than a checkpoint takes to be written."""
    labels: dict[str, Label] = {}
    """Workers and their readers run on nodes that Ray was started on with these labels."""

    @property
    def cpus(self) -> float:
        """CPU slots of all workers and their read tasks."""
        return self.num * (self.threads + READ_CPUS)

    @model_validator(mode="after")
    def _check(self) -> "WorkersSection":
        if self.backend == "nccl" and not self.use_gpu:
            raise ValueError("backend nccl needs use_gpu = true; on CPUs use gloo")
        return self


class CheckpointSection(Section):
    every_windows: int = Field(default=8, ge=1)
    keep: int = Field(default=3, ge=1)
    """Two at least are kept, so that there is one before where the newest is damaged."""


class StreamSection(Section):
    """The log that a run goes on with once it has learnt its history, until it is drained."""

    log: str
    """Address of the log whose topic `samples` is learnt; a relative SQLite path is made
    absolute. May be given to a run later, but not changed."""
    models: str | None = None
    """Address of the log whose topic `models` the run announces its deltas in; None: `log`. Lines
    that learn from one log each need their own."""
    pass_windows: int = Field(default=3600, ge=1)
    """Windows that one Ray Data pass is long, to the next checkpoint."""
    checkpoint_windows: int = Field(default=60, ge=1)
    """Windows of the log between checkpoints; they are shorter than those of a history."""
    fresh_seconds: float = Field(default=8.0, gt=0)
    """Whoever operates the loop is told where something waits for longer to be joined or learnt."""

    @property
    def whole_pass(self) -> int:
        """Windows of a pass that ends with a checkpoint."""
        return -(-self.pass_windows // self.checkpoint_windows) * self.checkpoint_windows


class PublishedSection(Section):
    """What of a training is served; it may be changed for a run that has begun."""

    average_steps: int = Field(default=1, ge=1)
    """Served are dense weights averaged over about so many of the last steps, which swing less
    from version to version, and show bad teaching later; rows are as new as ever. 1: the newest.
    So that versions can be told apart: at most a tenth of the steps between them. That is not
    checked, for they are minutes apart (`tracking.register_every_minutes`), and the steps of a
    minute depend on traffic: one or more for each window that is not empty."""


class TrackingSection(Section):
    uri: str
    """MLflow tracking server or database; a relative SQLite path is made absolute."""
    experiment: str = "easq"
    model_name: str = "easq-ranker"
    register_every_minutes: float = Field(default=5.0, gt=0)
    gate: bool = False
    """New versions are candidates, which `easq gate` judges; else each is served at once."""


class TrainConfig(Section):
    """A whole run. Paths are relative to the folder the command is run in."""

    run: RunSection
    data: DataSection
    model: ModelConfig = ModelConfig()
    order: BehaviourOrder = BehaviourOrder()
    pairs: PairsConfig = PairsConfig()
    loss: LossSection = LossSection()
    budget: BudgetConfig | None = None
    """Moves `loss.offset`, which is then gamma's first value."""
    optim: OptimSection = OptimSection()
    imputation: ImputationConfig = ImputationConfig()
    saqrec: SaqrecConfig = SaqrecConfig()
    classic_dpo: ClassicDpoConfig = ClassicDpoConfig()
    workers: WorkersSection = WorkersSection()
    checkpoint: CheckpointSection = CheckpointSection()
    published: PublishedSection = PublishedSection()
    stream: StreamSection | None = None
    tracking: TrackingSection | None = None

    @model_validator(mode="after")
    def _check(self) -> "TrainConfig":
        heads = (self.model.main, self.model.satisfaction)
        if self.loss.space == "log" and not all(head.positive for head in heads):
            raise ValueError(
                "loss.space = 'log' takes the log of scores: set model.main.positive and "
                "model.satisfaction.positive, or use another space"
            )
        if self.loss.offset and not (self.model.method == "easq" and self.loss.satisfaction):
            raise ValueError(
                "loss.offset adds what the satisfaction pathway has learnt: it needs model.method "
                "'easq' and loss.satisfaction above 0"
            )
        if bool(self.loss.behaviours) != self.model.behaviour_heads:
            raise ValueError(
                "loss.behaviours is the weight of what model.behaviour_heads learn: set both, or "
                "neither"
            )
        if self.model.behaviour_heads and self.model.method != "easq":
            raise ValueError("model.behaviour_heads are of model.method 'easq' alone")
        if self.budget is not None and not (self.loss.offset and self.loss.alignment == 0):
            raise ValueError(
                "budget moves loss.offset, and measures what that alone costs: it needs "
                "loss.offset above 0, its first value, and loss.alignment = 0"
            )
        if self.budget is not None and not GAMMAS[0] <= self.loss.offset <= GAMMAS[-1]:
            raise ValueError(
                f"within a budget gamma stays in {GAMMAS[0]:g} to {GAMMAS[-1]:.2g}: loss.offset, "
                f"its first value, is {self.loss.offset:g}"
            )
        if self.budget is not None and self.published.average_steps > 1:
            raise ValueError(
                "budget measures what the newest gamma costs, and averages lag behind it: set "
                "published.average_steps = 1"
            )
        if self.optim.batch % self.workers.num:
            raise ValueError(
                f"optim.batch {self.optim.batch} must be a multiple of workers.num "
                f"{self.workers.num}, so that every worker gets as many requests"
            )
        return self


def load_config(path: Path, changes: dict[str, Any] | None = None) -> TrainConfig:
    """Read a TOML file; `changes` maps dotted keys ("optim.batch") to values that replace its own.

    Raises:
        ValueError: one sentence a problem: the key, what was expected, what came.
    """
    if not path.is_file():
        raise ValueError(f"there is no configuration file {path}; see infra/config for examples")
    try:
        tree = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    for key, value in (changes or {}).items():
        put(tree, key.split("."), value)
    return parse_config(tree, str(path))


def parse_config(tree: dict[str, Any], origin: str) -> TrainConfig:
    """Validate a configuration and make its paths absolute (workers change directory)."""
    try:
        config = TrainConfig.model_validate(tree)
    except ValidationError as error:
        raise ValueError("\n".join(_sentences(origin, error))) from error
    run = config.run.model_copy(update={"storage": config.run.storage.expanduser().resolve()})
    history = config.data.history.expanduser().resolve()
    data = config.data.model_copy(update={"history": history})
    tracking = config.tracking and config.tracking.model_copy(
        update={"uri": absolute_uri(config.tracking.uri)}
    )
    stream = config.stream and config.stream.model_copy(
        update={
            "log": absolute_uri(config.stream.log),
            "models": config.stream.models and absolute_uri(config.stream.models),
        }
    )
    return config.model_copy(
        update={"run": run, "data": data, "tracking": tracking, "stream": stream}
    )


def absolute_uri(uri: str) -> str:
    """sqlite:///file.db -> sqlite:////folder/file.db; other URIs as they are."""
    prefix = "sqlite:///"
    if not uri.startswith(prefix):
        return uri
    return prefix + str(Path(uri.removeprefix(prefix)).expanduser().resolve())


def put(tree: dict[str, Any], keys: list[str], value: object) -> None:
    """Set a value in nested tables: (tree, ["optim", "batch"], 512)."""
    *parents, last = keys
    for key in parents:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise ValueError(f"{'.'.join(keys)}: {key} is a value, not a table")
    tree[last] = value


def _sentences(origin: str, error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "the file"
        if problem["type"] == "extra_forbidden":
            lines.append(f"{origin}: unknown key {key}; remove it or correct its name")
        elif problem["type"] == "missing":
            lines.append(f"{origin}: {key} is missing")
        else:
            lines.append(f"{origin}: {key}: {problem['msg']}, got {problem['input']!r}")
    return lines
