"""Pictures of what a study found."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from easq.plots import MAIN, SATISFACTION
from easq.study.compare import Curve
from easq.study.convergent import Shift
from easq.study.curves import BUDGETS
from easq.study.intervals import Interval
from easq.study.methods import BASE, Method
from easq.study.user_sums import ALL, TRUTH
from easq.study.variants import SHOWN, Variant

ANSWER_COLOURS = {"satisfied": "#3d7f4f", "uncertain": "0.6", "dissatisfied": "#b03a3a"}


DRAWN_PERCENT = 7.0
"""Dearer points are in the tables only: nobody would pay for them."""
COLOURS = [f"C{n}" for n in range(10) if n != 7] + ["navy", "goldenrod"]
GREYS = ("black", "0.35", "0.65")
"""Of EMER and of ceilings."""


def trade_off(
    curves: Mapping[str, Curve],
    methods: Mapping[str, Method],
    measure: str,
    behaviour: str = "behaviour NDCG@5",
) -> Figure:
    """Satisfaction gained over behaviour lost, a curve a method; ceilings are dashed."""
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    ax = figure.subplots()
    colours, greys = cycle(COLOURS), cycle(GREYS)
    for name, curve in curves.items():
        grey = name == BASE or methods[name].is_ceiling
        _draw(ax, curve, methods[name], measure, next(greys if grey else colours))
    for budget in BUDGETS:
        ax.axvline(budget, color="0.8", linestyle=":", zorder=0)
    ax.set_xlabel(f"{behaviour} lost against EMER, %")
    ax.set_ylabel("satisfaction gained over EMER")
    ax.legend(fontsize=8, frameon=False)
    _plain(ax)
    return figure


def _draw(ax: Axes, curve: Curve, method: Method, measure: str, colour: str) -> None:
    near = [place for place in curve.places if place.cost.value <= DRAWN_PERCENT]
    if not near:
        return
    cost = np.array([place.cost for place in near])[:, :3]
    gain = np.array([place.gain[measure] for place in near])[:, :3]
    start = np.zeros(int(len(curve.places) > 1))  # a curve starts at EMER
    ax.plot(
        np.append(start, cost[:, 0]),
        np.append(start, gain[:, 0]),
        color=colour,
        linestyle="--" if method.is_ceiling else "-",
        marker=".",
        label=method.title,
    )
    ax.errorbar(
        cost[:, 0],
        gain[:, 0],
        xerr=np.abs(cost[:, 1:] - cost[:, :1]).T,
        yerr=np.abs(gain[:, 1:] - gain[:, :1]).T,
        color=colour,
        alpha=0.35,
        linewidth=0.8,
        linestyle="none",
    )


def bars(variants: Mapping[str, Variant], methods: Mapping[str, Method]) -> Figure:
    """Gain of true satisfaction and behaviour lost, a bar a variant."""
    figure = Figure(figsize=(9, 0.8 + 0.35 * len(variants)), layout="constrained")
    gained, lost = figure.subplots(1, 2, sharey=True)
    _bars(gained, [v.place.gain[TRUTH] for v in variants.values()], SATISFACTION)
    gained.set_xlabel("true satisfaction gained over EMER, NDCG@5")
    _bars(lost, [v.place.cost for v in variants.values()], MAIN)
    lost.set_xlabel("behaviour NDCG@5 lost against EMER, %")
    gained.set_yticks(range(len(variants)), [methods[name].title for name in variants])
    gained.invert_yaxis()
    return figure


def _bars(ax: Axes, intervals: Sequence[Interval], colour: str) -> None:
    value, low, high = np.array(intervals)[:, :3].T
    ax.barh(
        range(len(value)), value, xerr=np.abs([value - low, high - value]), color=colour, alpha=0.7
    )
    _plain(ax)


def sensitivity(variants: Sequence[Variant], values: Sequence[float], title: str) -> Figure:
    """Fig. 6's NDCG@5 and HR@5 of answers by scenario, the truth, and behaviour, over a knob."""
    figure = Figure(figsize=(10, 2.8), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(1, 4)
    scenarios = [name for name in variants[0].answers if name != ALL]
    for ax, metric in zip(axes, SHOWN, strict=False):
        for scenario in scenarios:
            _line(ax, values, [v.answers[scenario][metric] for v in variants], scenario)
        ax.set_title(f"answers, {metric.removeprefix('answers_')}", fontsize=9)
    _line(axes[2], values, [v.place.gain[TRUTH] for v in variants], "gained over EMER")
    axes[2].set_title("true satisfaction, NDCG@5", fontsize=9)
    _line(axes[3], values, [v.place.cost for v in variants], "lost, %")
    axes[3].set_title("behaviour NDCG@5", fontsize=9)
    for ax in axes:
        ax.set_xscale("log")
        ax.set_xticks(values, [f"{value:g}" for value in values])
        ax.minorticks_off()
        ax.legend(fontsize=7, frameon=False)
        _plain(ax)
    return figure


def _line(ax: Axes, at: Sequence[float], intervals: Sequence[Interval], label: str) -> None:
    value, low, high = np.array(intervals)[:, :3].T
    ax.errorbar(
        at, value, yerr=np.abs([value - low, high - value]), marker=".", capsize=2, label=label
    )


def _plain(ax: Axes) -> None:
    ax.grid(color="0.93")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def shifts(found: Mapping[str, Shift]) -> Figure:
    """Fig. 3: change of each behaviour on answered views, a group of bars an answer."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    ax = figure.subplots()
    width = 0.8 / len(found)
    for number, (answer, shift) in enumerate(found.items()):
        value, low, high = np.array(list(shift.change.values()))[:, :3].T
        at = np.arange(len(value)) + width * (number - (len(found) - 1) / 2)
        error = np.abs([value - low, high - value])
        ax.bar(at, value, width, yerr=error, color=ANSWER_COLOURS[answer], label=answer, alpha=0.8)
    names = list(next(iter(found.values())).change)
    ax.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names])
    ax.axhline(0, color="0.4", linewidth=0.8)
    ax.set_ylabel("change against the viewers' average, %")
    ax.legend(fontsize=8, frameon=False)
    _plain(ax)
    return figure
