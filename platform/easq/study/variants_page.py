"""The pages of an ablation and of a sweep."""

from collections.abc import Mapping

from easq.study.evidence import MEASURES
from easq.study.figures import bars, sensitivity
from easq.study.measures import as_json
from easq.study.methods import Method
from easq.study.page import picture, table, told
from easq.study.report import Findings
from easq.study.user_sums import ALL, TRUTH
from easq.study.variants import KNOBS, PARTS, READINGS, SWEEP, Variant

LIMITS = (
    "Each variant is one point, and points trade differently: only the last column compares at "
    "equal behaviour, with EASQ's curve over λ₂ at the cost of the variant. A variant that costs "
    "less than nothing is compared with EMER.",
    "Nothing was tuned again for a variant.",
)


def ablation(variants: Mapping[str, Variant]) -> Findings:
    """Fig. 5 and the readings of Eq. 16."""
    parts = {name: variants[name] for name in PARTS}
    readings = {name: variants[name] for name in READINGS}
    blocks = [
        picture(bars(parts, PARTS), "What each part of EASQ adds"),
        _table(parts, PARTS, "Parts left out (as the paper's Fig. 5)"),
        picture(bars(readings, READINGS), "Readings of the reference of Eq. 16"),
        _table(
            readings,
            READINGS,
            "Readings of the reference of Eq. 16; λ₂β is held, so all push alike",
        ),
    ]
    return Findings(
        "What each part of EASQ adds",
        "Does EASQ need its low-rank path, its experts, its alignment loss? And which reading of "
        "the reference in Eq. 16 (the text's ŝ, the printed ŷ, none) does better?",
        blocks,
        LIMITS,
        as_json(dict(variants)),
        _metrics(variants),
    )


def sweep(variants: Mapping[str, Variant]) -> Findings:
    """Fig. 6."""
    blocks = []
    for knob, (title, _, values) in KNOBS.items():
        of_knob = {name: variants[name] for name in SWEEP if name.startswith(f"{knob}_")}
        figure = sensitivity(list(of_knob.values()), values, title)
        blocks += [picture(figure, f"Effect of {title}"), _table(of_knob, SWEEP, title)]
    return Findings(
        "How sensitive EASQ is to its settings",
        "How do satisfaction and behaviour change with the number of experts of each pathway and "
        "with the weights of the satisfaction and alignment losses, one at a time?",
        blocks,
        LIMITS,
        as_json(dict(variants)),
        _metrics(variants),
    )


def _table(variants: Mapping[str, Variant], methods: Mapping[str, Method], caption: str) -> str:
    rows = [
        [
            methods[name].title,
            told(v.place.cost, 2),
            *(told(v.place.gain[measure]) for measure in MEASURES),
            *(told(v.answers[scenario]["answers_hr_5"], signed=False) for scenario in v.answers),
            told(v.above_curve[TRUTH]),
        ]
        for name, v in variants.items()
    ]
    scenarios = [
        f"HR@5 of answers, {scenario}" for scenario in next(iter(variants.values())).answers
    ]
    head = [
        "variant",
        "behaviour lost, %",
        "gain: true NDCG@5",
        "gain: true z shown",
        "gain: NDCG@5 of answers",
        *scenarios,
        "true NDCG@5 above EASQ's curve",
    ]
    return table(head, rows, f"{caption}. Gains and costs are against EMER.")


def _metrics(variants: Mapping[str, Variant]) -> dict[str, float]:
    metrics = {}
    for name, v in variants.items():
        metrics[f"{name}/cost_percent"] = v.place.cost.value
        metrics[f"{name}/{TRUTH}_gain"] = v.place.gain[TRUTH].value
        metrics[f"{name}/answers_ndcg_5"] = v.answers[ALL]["answers_ndcg_5"].value
    return {name: value for name, value in metrics.items() if value == value}
