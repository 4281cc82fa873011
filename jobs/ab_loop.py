"""Where the users of an A/B test live: before model lines in this process, or before the loop."""

import json
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from easq.experiment.assignment import Experiment
from easq.experiment.by_scenario import ALL
from easq.experiment.crowd import Crowd, Service
from easq.experiment.days_before import DaysBefore, days_before
from easq.experiment.in_process import LinesInProcess
from easq.experiment.lived import Lived
from easq.log.connect import open_log
from easq.simulate.columns import feature_spec
from easq.simulate.generate import write_simulation
from easq.simulate.simulation import SimulationConfig, draw_surroundings
from easq.simulate.visits import VisitConfig
from easq.train.config import TrainConfig, parse_config
from easq.train.learner import Learner
from jobs.ab_service import HttpService
from jobs.living import FEEDBACK_SECONDS, SERVING
from jobs.loop import Loop, wait_until_ready
from jobs.loop_parts import LoopSettings

OWN, OTHER = "easq", "emer"
"""Model lines: the service's own, of the treatment, and the control's."""
SAMPLES = "samples"
VIEWING_SPEED = 1e9
"""Views are reported at once."""
READY_SECONDS = 600.0
SETTINGS = """
[run]
name = "{line}"
storage = "{folder}/runs"

[data]
history = "{history}"
window = 1024

[model]
method = "{line}"

[stream]
log = "sqlite:///{folder}/log.db"
{models}

[workers]
max_failures = -1

[tracking]
uri = "sqlite:///{folder}/mlflow.db"
model_name = "{line}"
register_every_minutes = 0.2
"""

Tell = Callable[[str], None]


class Test(NamedTuple):
    """What is tested on whom."""

    config: SimulationConfig
    experiment: Experiment
    days: int

    @property
    def lines(self) -> list[str]:
        """The service's own line first; then whatever arms name beside it."""
        named = {arm.model for arm in self.experiment.arms if arm.model is not None}
        return [OWN, *sorted(named - {OWN})]

    @property
    def line_of(self) -> np.ndarray:
        """Number of the line of each user, int [U]."""
        arms = [self.lines.index(arm.model or OWN) for arm in self.experiment.arms]
        users = np.arange(self.config.world.users)
        return np.array([*arms, 0])[self.experiment.arms_of(users)]


def live_in_process(test: Test, tell: Tell) -> Lived:
    """The days of the test without the platform's processes."""
    torch.set_num_threads(1)
    learners = [_learner(test.config, line) for line in test.lines]
    service = LinesInProcess(test.config, learners, test.line_of)
    before = service.begin()
    return _lived(test, service, before, tell)


def live_over_http(test: Test, folder: Path, tell: Tell, held: Sequence[int] = ()) -> Lived:
    """The days of the test before a loop of its own, whose files lie in `folder`.

    Args:
        held: the locks of `sole_loop`.
    """
    write_simulation(folder / SAMPLES, test.config)
    world, upstream = draw_surroundings(test.config)
    before = days_before(test.config, world, upstream)
    loop = _loop(test, folder, held)
    try:
        loop.start()
        tell(f"ranking API {loop.url}/docs, MLflow {loop.mlflow_url}")
        wait_until_ready(loop, READY_SECONDS)
        tell("every line has a version")
        service = HttpService(loop.url, test.config, world)

        def look(said: str) -> None:
            for sentence in [said, *loop.look()]:
                tell(sentence)

        lived = _lived(test, service, before, look)
        tell(f"rankings and events: {dict(service.counts)}")
        tell(f"rankings by arm and model: {dict(service.models)}")
        tell(f"version and delta that ranked last: {service.newest}")
        return lived
    finally:
        loop.stop()


def _lived(test: Test, service: Service, before: DaysBefore, tell: Tell) -> Lived:
    crowd = Crowd(test.config, VisitConfig(usual=before.usual), service)
    began = time.monotonic()
    for day in crowd.live(test.days):
        pages = int(crowd.sums[ALL].views.sum()) // test.config.traffic.exposed
        tell(f"day {day}: {pages:,} pages so far, {time.monotonic() - began:.0f} s")
    return Lived(before.sums, crowd.sums)


def _learner(config: SimulationConfig, line: str) -> Learner:
    tree = {"run": {"name": line, "storage": "-"}, "data": {"history": "-"}}
    parsed = parse_config(tree | {"model": {"method": line}}, line)
    return Learner(parsed, feature_spec(config), torch.device("cpu"))


def own_line(folder: Path) -> TrainConfig:
    """The training of the service's own line."""
    return parse_config(tomllib.loads(_settings(OWN, folder)), str(folder))


def _loop(test: Test, folder: Path, held: Sequence[int]) -> Loop:
    """The loop of the service's own line, and training for the others."""
    files = [_training_file(line, folder) for line in test.lines]
    experiment = folder / "experiment.toml"
    experiment.write_text(_toml(test.experiment, folder))
    for line in test.lines[1:]:
        open_log(_models(line, folder)).close()
    serving = SERVING | {"viewing_speed": str(VIEWING_SPEED), "experiment": str(experiment)}
    settings = LoopSettings(feedback_seconds=FEEDBACK_SECONDS, serving=serving)
    return Loop(own_line(folder), files[0], folder, settings, files[1:], held)


def _training_file(line: str, folder: Path) -> Path:
    file = folder / f"{line}.toml"
    file.write_text(_settings(line, folder))
    return file


def _settings(line: str, folder: Path) -> str:
    models = "" if line == OWN else f'models = "{_models(line, folder)}"'
    return SETTINGS.format(line=line, folder=folder, history=folder / SAMPLES, models=models)


def _toml(experiment: Experiment, folder: Path) -> str:
    rows = [f"name = {json.dumps(experiment.name)}", f"salt = {json.dumps(experiment.salt)}"]
    for arm in experiment.arms:
        rows += ["[[arms]]", f'name = "{arm.name}"', f"share = {arm.share}"]
        if arm.model not in (None, OWN):
            rows += [f'model = "{arm.model}"', f'models = "{_models(arm.model, folder)}"']
    return "\n".join(rows) + "\n"


def _models(line: str, folder: Path) -> str:
    return f"sqlite:///{folder}/{line}-models.db"
