"""The page of the alignment budget."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from easq.study.budget import TOLERANCE, BudgetPlan, Held
from easq.study.drift import DRIFTS
from easq.study.measures import as_json
from easq.study.page import picture, table, text
from easq.study.report import SIMULATED, Findings, Origin

Judged = Mapping[str, Mapping[float, Held]]
COLOURS = {0: "#1f5fa8", 1: "#c8641e", 2: "#3d7f4f"}


def findings(judged: Judged, plan: BudgetPlan, floor: float | None) -> Findings:
    """Tables and pictures of whether each budget was held."""
    between = (
        ""
        if floor is None
        else f" Two twins of other first weights differ by {floor:.2f} points a day (root mean "
        "square)."
    )
    blocks = [
        picture(_figure(judged, plan), "Behaviour lost and gamma, day by day"),
        _held(judged),
        text(
            "A day's loss is itself measured with an error: its standard error over requests is in "
            "the table, and in brackets how many days that error alone would leave within the "
            f"tolerance.{between}"
        ),
        _days(judged, plan),
        _gammas(judged, plan),
    ]
    return Findings(
        "The alignment budget",
        'The operator says "at most x % of behaviour NDCG@5", and gamma of loss.offset moves '
        "online to hold it. Does it, measured against a real twin that learns the same windows "
        f"without alignment, within {TOLERANCE} points, while the world drifts?",
        blocks,
        [
            f"The first {plan.warm_days} days are not judged: behaviour is still being learnt and "
            "gamma sought.",
            "The run sees its loss against y-hat - gamma s-hat of its own weights, not against the "
            "real twin: the last table sets the two side by side.",
        ],
        as_json({drift: _json(of_drift) for drift, of_drift in judged.items()}),
        _metrics(judged),
    )


def origin(plan: BudgetPlan) -> Origin:
    """What the study was made from."""
    traffic = plan.simulation.traffic
    facts = {
        "worlds": ", ".join(map(str, plan.worlds)),
        "first weights": ", ".join(map(str, plan.seeds)),
        "history": f"{traffic.requests:,} requests of {plan.simulation.world.users:,} viewers over "
        f"{traffic.days} days, answers at the pace `{plan.simulation.questionnaire}`",
        "drift": f"on day {plan.drift_day + 1}: "
        + "; ".join(f"{name}: {DRIFTS[name].title}" for name in plan.drifts),
        "training": ", ".join(f"{key} = {value}" for key, value in plan.settings.items()),
    }
    return Origin(facts, {"plan": plan.model_dump(mode="json")}, [SIMULATED])


def _json(of_drift: Mapping[float, Held]) -> dict[float, dict[str, Any]]:
    return {
        percent: held._asdict()
        | {"runs": [{k: v.tolist() for k, v in run._asdict().items()} for run in held.runs]}
        for percent, held in of_drift.items()
    }


def _rows(judged: Judged) -> list[tuple[str, float, Held]]:
    return [
        (DRIFTS[drift].title, percent, held)
        for drift, of_drift in judged.items()
        for percent, held in of_drift.items()
    ]


def _held(judged: Judged) -> str:
    rows = [
        [
            title,
            f"{percent:g}",
            f"{held.mean:.2f}",
            f"{min(held.of_runs):.2f} to {max(held.of_runs):.2f}",
            f"{held.runs_within:.0%}",
            f"{held.days_within:.0%} ({held.days_expected:.0%})",
            f"{held.noise:.2f}",
            f"{held.gained:+.4f}",
        ]
        for title, percent, held in _rows(judged)
    ]
    head = [
        "what changes",
        "budget, %",
        "lost, % (mean)",
        "each run's mean, %",
        f"runs within ±{TOLERANCE}",
        f"days within ±{TOLERANCE}",
        "standard error of a day",
        "gained: true NDCG@5",
    ]
    return table(head, rows, "Behaviour lost against real twins, over the judged days.")


def _days(judged: Judged, plan: BudgetPlan) -> str:
    rows = [
        [title, f"{percent:g}", *(f"{lost:.2f}" for lost in held.drift_days)]
        for title, percent, held in _rows(judged)
    ]
    days = range(plan.drift_day, plan.simulation.traffic.days)
    head = ["what changes", "budget, %", *(f"day {day + 1}" for day in days)]
    return table(head, rows, "Behaviour lost in % from the day of the change on, mean of all runs.")


def _gammas(judged: Judged, plan: BudgetPlan) -> str:
    rows = []
    for title, percent, held in _rows(judged):
        gamma, seen, lost = (
            np.mean([getattr(run, name) for run in held.runs], axis=0)
            for name in ("gamma", "estimated", "lost")
        )
        rows.append(
            [
                title,
                f"{percent:g}",
                *(
                    f"{g:.3f} [{e:.2f} / {x:.2f}]"
                    for g, e, x in zip(gamma, seen, lost, strict=True)
                ),
            ]
        )
    days = range(plan.simulation.traffic.days)
    head = ["what changes", "budget, %", *(f"day {day + 1}" for day in days)]
    return table(head, rows, "Gamma, and loss in % [as the run saw it / against the real twin].")


def _figure(judged: Judged, plan: BudgetPlan) -> Figure:
    figure = Figure(figsize=(3.2 * len(judged) + 1, 5.5), layout="constrained")
    axes = figure.subplots(2, len(judged), sharex=True, sharey="row", squeeze=False)
    for column, (drift, of_drift) in enumerate(judged.items()):
        for number, (percent, held) in enumerate(of_drift.items()):
            _lines(axes[0][column], [run.lost for run in held.runs], COLOURS[number % 3])
            _lines(axes[1][column], [run.gamma for run in held.runs], COLOURS[number % 3])
            axes[0][column].axhspan(
                percent - TOLERANCE, percent + TOLERANCE, color=COLOURS[number % 3], alpha=0.12
            )
        for ax in axes[:, column]:
            ax.axvline(plan.drift_day + 0.5, color="0.5", linestyle=":")
            ax.axvspan(0.5, plan.warm_days + 0.5, color="0.95", zorder=0)
            ax.spines[["top", "right"]].set_visible(False)
        axes[0][column].set_title(drift, fontsize=9)
        axes[1][column].set_xlabel("day")
    axes[0][0].set_ylabel("behaviour NDCG@5 lost, %")
    axes[1][0].set_ylabel("gamma")
    axes[1][0].set_yscale("log")
    return figure


def _lines(ax: Axes, runs: list[np.ndarray], colour: str) -> None:
    day = np.arange(1, len(runs[0]) + 1)
    for run in runs:
        ax.plot(day, run, color=colour, alpha=0.3, linewidth=0.8)
    ax.plot(day, np.mean(runs, axis=0), color=colour, linewidth=2)


def _metrics(judged: Judged) -> dict[str, float]:
    metrics = {}
    for drift, of_drift in judged.items():
        for percent, held in of_drift.items():
            name = f"{drift}/{percent:g}_percent"
            metrics[f"{name}/lost"] = held.mean
            metrics[f"{name}/days_within"] = held.days_within
            metrics[f"{name}/runs_within"] = held.runs_within
            metrics[f"{name}/gained"] = held.gained
    return metrics
