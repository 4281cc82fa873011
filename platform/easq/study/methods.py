"""The compared methods: what each changes in TrainConfig, and the knob that makes its curve."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from easq.simulate.answers import Pace
from easq.study.rankings import FUSION, GAMMAS, SERVED, blend, oracle

ALIGNMENT = "loss.alignment"
KAPPA = (0.25, 0.5, 1.0, 2.0)
TEACHER = (0.1, 0.3, 0.5, 1.0)
PAIRS = (0.1, 0.2, 0.35, 0.5)
CLASSIC = (0.2, 0.5, 1.0, 1.5)
PRINTED = (0.5, 1.0, 2.0, 3.0)
LAMBDA_2 = (0.025, 0.05, 0.1, 0.15)
"""Values that cost from less than 1 % of behaviour to more than 3 %."""
BETA = 2.0
"""Where EASQ's curve is best among .1 (the paper's), .5, 2, 5 and 10, in worlds of no preset."""
EASQ = {"model.method": "easq", "loss.beta": BETA}
ROWS = {"model.satisfaction_updates_embeddings": True}
"""L_satis also trains the embedding rows."""


class Point(NamedTuple):
    """One place on a method's curve: what to train, and which of its rankings to judge."""

    value: float
    settings: Mapping[str, Any]
    ranking: str
    questionnaire: Pace | None


class Method(NamedTuple):
    """A way to rank, with one knob that trades behaviour for satisfaction."""

    title: str
    settings: Mapping[str, Any]  # dotted keys of TrainConfig
    knob: str = ""  # a dotted key, GAMMA or GAMMA_TRUTH; "": a point without a knob
    values: tuple[float, ...] = (0.0,)
    questionnaire: Pace | None = None  # another pace of answers than the world's
    is_ceiling: bool = False  # knows what no method can know
    ranking: str = SERVED  # of the trial, without a knob of mixing

    def points(self) -> list[Point]:
        """In the order of the knob."""
        return [self._point(value) for value in self.values]

    def _point(self, value: float) -> Point:
        if self.knob == GAMMA:
            return Point(value, self.settings, blend(value), self.questionnaire)
        if self.knob == GAMMA_TRUTH:
            return Point(value, self.settings, oracle(value), self.questionnaire)
        trained = {**self.settings, self.knob: value} if self.knob else self.settings
        return Point(value, trained, self.ranking, self.questionnaire)


GAMMA, GAMMA_TRUTH = "gamma", "gamma of the truth"
BASE = "emer"
"""What every cost and gain is measured against, in the same world and from the same weights."""

METHODS: dict[str, Method] = {
    BASE: Method("EMER", {"model.method": "emer"}),
    "easq": Method("EASQ", EASQ, ALIGNMENT, LAMBDA_2),
    "easq_printed": Method(
        "EASQ, β = 0.1 as printed", {"model.method": "easq"}, ALIGNMENT, PRINTED
    ),
    "emer_s": Method("EMERs", {"model.method": "emer_s"}, ALIGNMENT, PAIRS),
    "imputation": Method(
        "Imputation Network", {"model.method": "imputation"}, "imputation.kappa", KAPPA
    ),
    "saqrec": Method("SAQRec", {"model.method": "saqrec"}, ALIGNMENT, TEACHER),
    "classic_dpo": Method(
        "classic DPO, frozen reference",
        {"model.method": "classic_dpo", "loss.beta": 0.5},
        ALIGNMENT,
        CLASSIC,
    ),
    "fusion": Method("weighted fusion formula", {"model.method": "emer"}, ranking=FUSION),
    "easq_without_dpo": Method("EASQ without DPO", {"model.method": "easq", ALIGNMENT: 0.0}),
    "blend": Method(
        "blend ŷ + γ ŝ, no DPO", {"model.method": "easq", ALIGNMENT: 0.0}, GAMMA, GAMMAS
    ),
    "census": Method(
        "blend of rows, every view answered",
        {"model.method": "easq", ALIGNMENT: 0.0, **ROWS},
        GAMMA,
        GAMMAS,
        questionnaire="census",
        is_ceiling=True,
    ),
    "oracle": Method(
        "EMER + γ truth", {"model.method": "emer"}, GAMMA_TRUTH, GAMMAS, is_ceiling=True
    ),
}


def only(methods: Mapping[str, Method], names: str | None, subject: str) -> dict[str, Method]:
    """Those of `names`, a list with commas, beside EMER and the subject; None: all.

    Raises ValueError for a name that none of them has.
    """
    chosen = set(methods) if names is None else {BASE, subject, *names.split(",")}
    if unknown := chosen - set(methods):
        raise ValueError(
            f"no method is called {', '.join(sorted(unknown))}: there are {', '.join(methods)}"
        )
    return {name: method for name, method in methods.items() if name in chosen}
