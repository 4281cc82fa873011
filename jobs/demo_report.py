"""What the demo measured, from the scores that each run kept before it learnt."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.table import Table

from easq.bootstrap import Difference, paired_bootstrap
from easq.evaluate import behaviour_lists, long_view_lists
from easq.history import History
from easq.metrics import auc, hit_rate, ndcg, rank
from easq.samples import BehaviourOrder, Flat, flatten
from easq.simulate.headroom import rankings, truth_values
from easq.simulate.truth import read_truth
from easq.simulate.world import WorldConfig
from easq.train.kept_scores import kept_scores

COMPARED = (
    "upstream, summed log-odds",
    "logging policy",
    "expected z (the best a model can do)",
)
"""Which of the simulator's own rankings stand beside the runs."""


def samples_of(history: History) -> pa.Table:
    return pa.concat_tables(history.read(window) for window in history.windows())


def simulated_report(history: History, runs: dict[str, Path]) -> Table:
    """NDCG@5 of hidden satisfaction and of behaviour over the second half of the requests."""
    samples = samples_of(history)
    flat = flatten(samples)
    truth = read_truth(history)
    satisfied = truth_values(truth, "satisfaction") > WorldConfig().satisfied_above
    compared = {name: kept_scores(run) for name, run in runs.items()}
    known = rankings(flat, truth, seed=0)
    compared |= {name: known[name] for name in COMPARED}
    half = samples.num_rows // 2
    table = Table(
        "ranking by",
        "true satisfaction",
        "behaviour",
        title=f"NDCG@5 of the last {samples.num_rows - half:,} requests, each scored before learnt",
    )
    for name, scores in compared.items():
        table.add_row(name, *(f"{x:.3f}" for x in _two_ndcgs(flat, scores, satisfied, half)))
    return table


def _two_ndcgs(
    flat: Flat, scores: np.ndarray, satisfied: np.ndarray, half: int
) -> tuple[float, float]:
    late = flat.request >= half
    of_truth = ndcg(rank(scores[late], satisfied[late], flat.request[late]), 5)
    behaviour = ndcg(behaviour_lists(flat, scores, BehaviourOrder()), 5)
    return float(of_truth.values.mean()), float(behaviour.values[behaviour.ids >= half].mean())


def gauc_over_seeds(history: History, runs: list[Path]) -> tuple[float, float, Difference]:
    """Long-view GAUC inside user-days of the runs and of the past-only item rate.

    Row-weighted, lists with both classes; the interval of the difference is over users, of the
    mean over seeds.
    """
    flat = flatten(samples_of(history))
    rate = auc(long_view_lists(flat, flat.columns.item["upstream.long_view"]))
    seeds = np.stack([auc(long_view_lists(flat, kept_scores(run))).values for run in runs])
    difference = paired_bootstrap(
        seeds,
        np.broadcast_to(rate.values, seeds.shape),
        flat.user_id[rate.ids],
        weight=rate.rows,
    )
    model = float(seeds.mean(0) @ rate.rows / rate.rows.sum())
    return model, float(rate.values @ rate.rows / rate.rows.sum()), difference


def kuairand_report(history: History, runs: list[Path]) -> Table:
    """The runs against the smoothed item rate, which is one of their features."""
    flat = flatten(samples_of(history))
    model, rate, difference = gauc_over_seeds(history, runs)
    scores = {
        f"EASQ, {len(runs)} seeds": [kept_scores(run) for run in runs],
        "item's past long-view rate": [flat.columns.item["upstream.long_view"]],
    }
    table = Table(
        "ranking by",
        "long-view GAUC",
        "behaviour NDCG@10",
        "behaviour HR@1",
        title=f"Inside user-days, {len(history.description.days)} days, each scored before learnt",
        caption="GAUC difference {:+.4f}, 95 % interval [{:+.4f}, {:+.4f}]".format(*difference),
    )
    for (name, of_seeds), gauc in zip(scores.items(), (model, rate), strict=True):
        lists = [behaviour_lists(flat, s, BehaviourOrder()) for s in of_seeds]
        ndcg_10 = np.mean([ndcg(ranked, 10).values.mean() for ranked in lists])
        hr_1 = np.mean([hit_rate(ranked, 1).values.mean() for ranked in lists])
        table.add_row(name, f"{gauc:.4f}", f"{ndcg_10:.4f}", f"{hr_1:.4f}")
    return table
