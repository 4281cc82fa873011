"""The pictures of an A/B test."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from easq.experiment.false_positives import FalsePositives
from easq.experiment.ratio_metrics import LEVEL, RelativeDifference
from easq.experiment.several_worlds import Combined

PLAIN, ADJUSTED, WORLD = "#1f5fa8", "#c8641e", "0.6"
Differences = Mapping[str, RelativeDifference | Combined]


def differences_figure(
    plain: Differences,
    adjusted: Differences,
    worlds: Sequence[Mapping[str, RelativeDifference]] = (),
) -> Figure:
    """Metric by metric; `worlds`: each one's own, as dots."""
    figure, axes = _axes(len(plain))
    for number, name in enumerate(plain):
        dots = [100 * world[name].difference for world in worlds]
        axes.plot(dots, [number] * len(dots), "o", color=WORLD, markersize=3, zorder=0)
    _intervals(axes, plain, -0.12, PLAIN, "difference")
    _intervals(axes, adjusted, 0.12, ADJUSTED, "by CUPED")
    axes.axvline(0, color="0.5", linewidth=0.8)
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xticks(
        ticks := [-50, -20, -10, -5, 0, 5, 10, 20, 50], [f"{t:+d}" if t else "0" for t in ticks]
    )
    axes.set_xlabel("treatment against control, % (logarithmic beyond 10)")
    figure.legend(frameon=False, loc="outside upper right", ncols=4)
    return _named(figure, axes, list(plain))


def false_positives_figure(found: FalsePositives) -> Figure:
    """How often each metric was found, against chance."""
    names, row = list(found.by_metric), np.arange(len(found.by_metric))
    figure, axes = _axes(len(names))
    axes.barh(row - 0.2, list(found.by_metric.values()), 0.35, color=PLAIN, label="difference")
    if found.adjusted:
        counts = list(found.adjusted.values())
        axes.barh(row + 0.2, counts, 0.35, color=ADJUSTED, label="by CUPED")
    axes.axvline(found.salts * (1 - LEVEL), color="0.5", linestyle=":", label="expected")
    axes.axvline(found.bound, color="0.5", label="chance explains up to")
    axes.set_xlabel(f"intervals that leave out 0, of {found.salts}")
    figure.legend(frameon=False, loc="outside upper right", ncols=4)
    return _named(figure, axes, names)


def _axes(rows: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 0.4 * rows + 1), layout="constrained")
    return figure, figure.subplots()


def _named(figure: Figure, axes: Axes, names: list[str]) -> Figure:
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _intervals(axes: Axes, found: Differences, shift: float, colour: str, label: str) -> None:
    if not found:
        return
    values = 100 * np.array([[one.difference, one.low, one.high] for one in found.values()])
    middle, low, high = values.T
    row = np.arange(len(found)) + shift
    axes.errorbar(
        middle,
        row,
        xerr=[middle - low, high - middle],
        fmt="o",
        color=colour,
        markersize=4,
        linewidth=1.5,
        label=label,
    )
