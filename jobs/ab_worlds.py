"""The test in several simulated worlds, in process: what is finished is not lived again.

OUT/ab_worlds/<key>/result.json  what was tested
OUT/ab_worlds/<key>/lived.npz    what each user did
"""

import time
from collections.abc import Sequence
from pathlib import Path

from easq.experiment.lived import Lived
from easq.study.code_version import DECIDES
from easq.study.results import digest, has_result, write_result
from jobs.ab_loop import Tell, Test, live_in_process

LIVED = "lived.npz"
DECIDES_HERE = (
    *DECIDES,
    "experiment/assignment.py",
    "experiment/by_scenario.py",
    "experiment/crowd.py",
    "experiment/days_before.py",
    "experiment/in_process.py",
)


def lived_in_process(tests: Sequence[Test], out: Path, tell: Tell) -> list[Lived]:
    """Each test's users, in order."""
    return [_lived(test, out / "ab_worlds" / _key(test), tell) for test in tests]


def _lived(test: Test, folder: Path, tell: Tell) -> Lived:
    """One world; read where it is there."""
    if has_result(folder):
        tell(f"world {test.config.seed} has been lived already")
        return Lived.read(folder / LIVED)
    tell(f"world {test.config.seed}")
    began = time.monotonic()
    lived = live_in_process(test, tell)
    result = {"test": _contents(test), "seconds": round(time.monotonic() - began, 1)}
    write_result(folder, result, lambda building: lived.write(building / LIVED), DECIDES_HERE)
    return lived


def _key(test: Test) -> str:
    return f"world{test.config.seed}-{digest(_contents(test), DECIDES_HERE)}"


def _contents(test: Test) -> dict[str, object]:
    """All that decides what is lived, but for the code."""
    return {
        "config": test.config.model_dump(mode="json"),
        "experiment": test.experiment.model_dump(mode="json"),
        "days": test.days,
    }
