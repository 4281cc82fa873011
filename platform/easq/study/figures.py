"""Pictures of what a study found."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from easq.study.compare import BUDGETS, Curve
from easq.study.methods import Method


def trade_off(curves: Mapping[str, Curve], methods: Mapping[str, Method], measure: str) -> Figure:
    """Satisfaction gained over behaviour lost, a curve a method; ceilings are dashed."""
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    ax = figure.subplots()
    for number, (name, curve) in enumerate(curves.items()):
        _draw(ax, curve, methods[name], measure, f"C{number}")
    for budget in BUDGETS:
        ax.axvline(budget, color="0.8", linestyle=":", zorder=0)
    ax.set_xlabel("behaviour NDCG@5 lost against EMER, %")
    ax.set_ylabel("satisfaction gained over EMER")
    ax.grid(color="0.93")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=8, frameon=False)
    return figure


def _draw(ax: Axes, curve: Curve, method: Method, measure: str, colour: str) -> None:
    cost = np.array([place.cost for place in curve.places])[:, :3]
    gain = np.array([place.gain[measure] for place in curve.places])[:, :3]
    ax.plot(
        np.append(0, cost[:, 0]) if len(cost) > 1 else cost[:, 0],
        np.append(0, gain[:, 0]) if len(cost) > 1 else gain[:, 0],
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
