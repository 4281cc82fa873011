"""Variants of EASQ: parts left out, readings of Eq. 16, and hyper-parameters one at a time."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from easq.study.compare import Place, place
from easq.study.evidence import evidence
from easq.study.intervals import Interval, draw
from easq.study.measures import SUBJECT, above_curve, mean_of
from easq.study.methods import ALIGNMENT, BASE, BETA, EASQ, LAMBDA_2, METHODS, Method
from easq.study.plan import Plan
from easq.study.user_sums import ALL

BETAS = (0.1, 0.5, 2.0)
PUSH = 0.2
"""lambda_2 beta, the push of L_DPO on a pair without margin (twice it), held while beta varies."""
AS_SET = {**EASQ, ALIGNMENT: PUSH / BETA}
"""EASQ where nothing is varied."""
FULL = "full"
COMPARED = {name: METHODS[name] for name in (BASE, SUBJECT)}
"""What every variant is set beside: EMER, and EASQ's curve over lambda_2."""
SHOWN = ("answers_ndcg_5", "answers_hr_5")
"""Of the paper's Figs. 5 and 6."""


def _easq(title: str, **settings: object) -> Method:
    dotted = {name.replace("__", "."): value for name, value in settings.items()}
    return Method(title, {**AS_SET, **dotted})


PARTS: dict[str, Method] = {
    FULL: _easq("EASQ"),
    "without_lora": _easq("without LoRA", model__lora=None),
    "without_moe": _easq(
        "without MoE",
        model__main__experts=1,
        model__main__shared_expert=False,
        model__satisfaction__experts=1,
        model__satisfaction__shared_expert=False,
    ),
    "without_dpo": _easq("without DPO", loss__alignment=0.0),
}
"""Fig. 5. Without MoE: one expert a pathway, behind its gate."""


def _reading(reference: str, beta: float) -> Method:
    return _easq(
        f"reference {reference}, β = {beta:g}",
        loss__reference=reference,
        loss__beta=beta,
        loss__alignment=PUSH / beta,
    )


READINGS: dict[str, Method] = {
    f"{reference}_beta_{beta:g}": _reading(reference, beta)
    for reference in ("satisfaction", "self", "none")
    for beta in BETAS
}
"""What pi_ref of Eq. 16 is: s-hat (the text), y-hat (as printed), nothing; at several beta."""

KNOBS: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "K1": ("K₁, experts of the main pathway", "model.main.experts", (1, 2, 4, 8)),
    "K2": ("K₂, experts of the satisfaction pathway", "model.satisfaction.experts", (1, 2, 4, 8)),
    "lambda_1": ("λ₁, weight of L_satis", "loss.satisfaction", (0.1, 0.3, 1.0, 3.0)),
    "lambda_2": ("λ₂, weight of L_DPO", ALIGNMENT, (*LAMBDA_2, 0.5, 1.0)),
}
"""Fig. 6: name -> title, setting, values. The other three stay as they are."""

SWEEP: dict[str, Method] = {
    f"{name}_{value:g}": Method(f"{title} = {value:g}", {**AS_SET, setting: value})
    for name, (title, setting, values) in KNOBS.items()
    for value in values
}


class Variant(NamedTuple):
    """One variant against EMER and against EASQ's curve."""

    place: Place
    above_curve: dict[str, Interval]  # measure -> gain less that of EASQ's curve at equal behaviour
    answers: dict[str, dict[str, Interval]]  # scenario -> metric of SHOWN -> mean


def judge_variants(plan: Plan, variants: Mapping[str, Method], out: Path) -> dict[str, Variant]:
    """Read finished trials and judge. Raises FileNotFoundError where one has not finished."""
    methods = {**COMPARED, **variants}
    test = evidence(plan, methods, out, "test", ALL)
    draws = draw(test.worlds)
    at = {name: test.places[name].start for name in variants}
    answers: dict[str, dict[str, dict[str, Interval]]] = {name: {} for name in variants}
    for scenario in (ALL, *plan.scenarios):
        of_scenario = evidence(plan, methods, out, "test", scenario)
        drawn = draw(of_scenario.worlds)
        for name, point in at.items():
            answers[name][scenario] = {
                m: drawn.interval(mean_of(of_scenario, point, m)) for m in SHOWN
            }
    return {
        name: Variant(
            place(test, draws, point, 0.0),
            {m: draws.interval(above_curve(test, point, SUBJECT, m)) for m in test.measures},
            answers[name],
        )
        for name, point in at.items()
    }
