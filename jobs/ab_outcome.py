"""What an A/B test found: printed, and written as a page, figures and an MLflow run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from easq.experiment.by_scenario import ALL, SCOPES
from easq.experiment.false_positives import FalsePositives, false_positives, together
from easq.experiment.lived import Lived
from easq.experiment.table2 import Comparison, compare
from easq.study.report import SIMULATED, Origin
from jobs.ab_loop import Test
from jobs.ab_report import differences_table, findings, ratio_sentences
from jobs.ab_worlds_report import findings_of_worlds, worlds_table
from jobs.study_output import written

CONTROL, TREATMENT = "control", "treatment"
ASKED = (
    "Simulated users were divided by a salted hash and served by the model line of their arm; "
    "every line learnt from everybody's feedback. They leave and return by true satisfaction. "
    "What does the treatment change?"
)


def told(
    tests: Sequence[Test],
    lived: Sequence[Lived],
    service: str,
    console: Console,
    out: Path,
    tracking: str | None,
) -> Path:
    """Print Table 2 and write its page; an A/A test is divided by many salts too."""
    same = len(tests[0].lines) == 1
    title = "A/A test" if same else "EASQ against EMER"
    by_scenario = {scope: _compared(tests, lived, scope) for scope in SCOPES}
    found = by_scenario.pop(ALL)
    salted = together([_salted(*one) for one in zip(tests, lived, strict=True)]) if same else None
    if len(found) == 1:
        [only] = found.values()
        console.print(differences_table(only, title))
        for sentence in ratio_sentences(only):
            console.print(sentence)
        apart = {name: one for name, worlds in by_scenario.items() for one in worlds.values()}
        shown = findings(only, title, ASKED, apart, salted)
    else:
        console.print(worlds_table(found, title))
        shown = findings_of_worlds(found, title, ASKED, by_scenario, salted)
    page = written("ab", _origin(tests, service), shown, out, tracking)
    for sentence in [*shown.says, f"page: {page}"]:
        console.print(sentence)
    return page


def _compared(tests: Sequence[Test], lived: Sequence[Lived], scope: str) -> dict[int, Comparison]:
    """By world, in all or in a scenario."""
    return {
        test.config.seed: compare(
            one.during[scope], _arms(test), test.experiment, TREATMENT, CONTROL, one.before[scope]
        )
        for test, one in zip(tests, lived, strict=True)
    }


def _arms(test: Test) -> np.ndarray:
    return test.experiment.arms_of(np.arange(test.config.world.users))


def _salted(test: Test, lived: Lived) -> FalsePositives:
    users, during, before = np.arange(test.config.world.users), lived.during, lived.before
    return false_positives(during[ALL], users, test.experiment, before=before[ALL])


def _origin(tests: Sequence[Test], service: str) -> Origin:
    config, of = tests[0].config, tests[0].experiment
    settings = {
        "users": f"{config.world.users}",
        "days": f"{tests[0].days}",
        "share": f"{of.arms[0].share:g}",
        "seed": ", ".join(f"{test.config.seed}" for test in tests),
        "requests before": f"{config.traffic.requests}",
        "questionnaire": config.questionnaire,
        "service": service,
    }
    return Origin(settings, {"settings": settings}, [SIMULATED])
