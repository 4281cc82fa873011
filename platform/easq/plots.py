"""Pictures of a training run, drawn from what was logged of each window."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

MAIN, SATISFACTION = "#1f5fa8", "#c8641e"
"""Colours of the two pathways, y-hat and s-hat, in every picture."""
SMOOTHED_FROM = 30


class Curve(NamedTuple):
    """A metric over windows, in order; W windows."""

    window: np.ndarray  # int [W]
    value: np.ndarray  # float [W]


Curves = Mapping[str, Curve]


def draw(curves: Curves, scores: Mapping[str, Any] | None) -> dict[str, Figure]:
    """All pictures for which there is data, by file name."""
    figures = {
        "losses.png": _losses(curves),
        "behaviour.png": _behaviour(curves),
        "satisfaction.png": _satisfaction(curves),
        "experts.png": _experts(curves),
        "scores.png": _scores(scores or {}),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def _losses(curves: Curves) -> Figure | None:
    panels = {
        "loss/main": ("L_main (Eq. 11): behaviour", MAIN),
        "loss/satisfaction": ("L_satis (Eq. 15): answers", SATISFACTION),
        "loss/alignment": ("L_DPO (Eq. 16): alignment", "#3d7f4f"),
    }
    figure, axes = _panels("Losses by part", [n for n in panels if n in curves], 3)
    for name, ax in axes.items():
        title, colour = panels[name]
        _line(ax, curves[name], colour, "mean over pairs")
        ax.axhline(np.log(2), color="0.5", linestyle=":", linewidth=1, label="no margin: ln 2")
        _label(ax, title, "loss a pair")
    return figure


def _behaviour(curves: Curves) -> Figure | None:
    panels = {
        "behaviour/ndcg_10": "NDCG@10",
        "behaviour/hr_1": "HR@1",
        "behaviour/mrr": "MRR",
        "behaviour/long_view_gauc": "GAUC of long views",
    }
    title = "Behaviour, each window scored before it was learnt from"
    figure, axes = _panels(title, [n for n in panels if n in curves], 2)
    for name, ax in axes.items():
        _line(ax, curves[name], MAIN, "ŷ, served")
        _label(ax, panels[name], "mean over requests")
    return figure


def _satisfaction(curves: Curves) -> Figure | None:
    panels = {
        "ndcg_10": "NDCG@10",
        "hr_1": "HR@1",
        "mrr": "MRR",
        "pair_accuracy": "Satisfied above dissatisfied",
    }
    title = "Satisfaction, each window scored before it was learnt from"
    figure, axes = _panels(title, [n for n in panels if f"satisfaction/{n}" in curves], 2)
    for name, ax in axes.items():
        _line(ax, curves[f"satisfaction/{name}"], MAIN, "ŷ, served")
        if (path := curves.get(f"satisfaction_path/{name}")) is not None:
            _line(ax, path, SATISFACTION, "ŝ, training only")
        _label(ax, panels[name], "mean over users")
    return figure


def _experts(curves: Curves) -> Figure | None:
    panels = {"expert/main_": "Main pathway", "expert/satisfaction_": "Satisfaction pathway"}
    used = {p: sorted((n for n in curves if n.startswith(p)), key=_number) for p in panels}
    figure, axes = _panels("Use of experts", [p for p in panels if used[p]], 2)
    for prefix, ax in axes.items():
        for k, name in enumerate(used[prefix]):
            ax.plot(*curves[name], color=f"C{k}", label=f"expert {name.removeprefix(prefix)}")
        if (
            shut := curves.get(prefix.replace("expert/", "router/all_off_").rstrip("_"))
        ) is not None:
            ax.plot(*shut, color="0.4", linestyle=":", label="none")
        ax.set_ylim(-0.03, 1.03)
        _label(ax, panels[prefix], "share of candidates\nwith an open gate")
    return figure


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])


def _scores(scores: Mapping[str, Any]) -> Figure | None:
    panels = {"main": ("ŷ, served", MAIN), "satisfaction": ("ŝ, training only", SATISFACTION)}
    title = "Scores of the last window" + (f" ({scores['window']})" if "window" in scores else "")
    figure, axes = _panels(title, [n for n in panels if n in scores], 2)
    for name, ax in axes.items():
        label, colour = panels[name]
        counts = np.asarray(scores[name]["counts"])
        ax.stairs(counts / max(counts.sum(), 1), scores[name]["edges"], color=colour, fill=True)
        _label(ax, label, "share of candidates", "score")
    return figure


def _panels(
    title: str, names: Sequence[str], columns: int
) -> tuple[Figure | None, dict[str, Axes]]:
    if not names:
        return None, {}
    columns = min(columns, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(4.6 * columns, 0.5 + 3.0 * rows), dpi=120, layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for ax in axes[len(names) :]:
        ax.remove()
    return figure, dict(zip(names, axes, strict=False))


def _line(ax: Axes, curve: Curve, colour: str, label: str) -> None:
    """A line; of many windows a running mean over a twentieth of them, the windows behind it."""
    if len(curve.value) < SMOOTHED_FROM:
        ax.plot(*curve, color=colour, marker=".", label=label)
        return
    span = max(len(curve.value) // 20, 3)
    kernel = np.ones(span)
    mean = np.convolve(curve.value, kernel, "same") / np.convolve(
        np.ones_like(curve.value), kernel, "same"
    )
    ax.plot(*curve, color=colour, alpha=0.25, linewidth=0.8)
    ax.plot(curve.window, mean, color=colour, label=f"{label}; running mean of {span}")


def _label(ax: Axes, title: str, y: str, x: str = "window") -> None:
    ax.set_title(title, fontsize=10)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.grid(color="0.9")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=8, frameon=False)
