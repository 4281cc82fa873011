"""Ranking metrics on lists with several positives, ties in expectation (EASQ §5.1.2).

Lists are flat, in any order: candidate n has a score, a gain (0: not relevant) and the id of its
list. Tied candidates count as if shuffled: every value is the exact mean over all their orders,
so a model whose scores collapse to one number gains nothing from the order of its input.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real
from scipy.special import gammaln


class PerList(NamedTuple):
    """A metric's value for each of L lists, ordered by id."""

    ids: np.ndarray  # int [L]
    values: np.ndarray  # float [L]
    rows: np.ndarray  # int [L], candidates of the list


class Ties(NamedTuple):
    """Runs of equal score inside a list, best first; T runs of all lists."""

    of: np.ndarray  # int [T], which list, 0..L-1
    start: np.ndarray  # int [T], candidates of the list that rank above
    size: np.ndarray  # int [T]
    gain: np.ndarray  # float [T], summed
    hits: np.ndarray  # int [T], candidates with a gain


class Ranked(NamedTuple):
    """L lists as the scores rank them, and as the gains would; each has a positive."""

    ids: np.ndarray  # int [L], ascending
    rows: np.ndarray  # int [L]
    hits: np.ndarray  # int [L]
    ties: Ties
    ideal: Ties


def rank(
    scores: Float[np.ndarray, "n"],
    gains: Bool[np.ndarray, "n"] | Real[np.ndarray, "n"],
    group: Int[np.ndarray, "n"],
) -> Ranked:
    """Lists ranked by score; those without any positive gain are left out.

    Raises ValueError when a score is not a number or a gain is negative.
    """
    _refuse_nan(scores)
    if (gains < 0).any():
        raise ValueError("gains must be 0 (not relevant) or more: NDCG is undefined below")
    judged = np.isin(group, group[gains > 0])
    ids, of = np.unique(group[judged], return_inverse=True)
    gain = gains[judged].astype(np.float64)
    ties, ideal = _ties(scores[judged], gain, of), _ties(gain, gain, of)
    return Ranked(ids, np.bincount(of), np.bincount(of, gain > 0).astype(np.int64), ties, ideal)


def hit_rate(ranked: Ranked, k: int) -> PerList:
    """HR@k: is any positive among the first k?"""
    tie = _first_hit(ranked.ties)
    missed = _no_hit(tie.size, tie.hits, np.clip(k - tie.start, 0, tie.size))
    return PerList(ranked.ids, 1 - missed, ranked.rows)


def reciprocal_rank(ranked: Ranked) -> PerList:
    """MRR's summand: 1 / rank of the first positive, summed over the ranks it may take in its tie.

    The first hit sits at place j of its tie with probability P(none in j - 1) - P(none in j).
    """
    tie = _first_hit(ranked.ties)
    of = np.repeat(np.arange(len(tie.size)), tie.size)
    place = 1 + np.arange(len(of)) - (np.cumsum(tie.size) - tie.size)[of]
    size, hits = tie.size[of], tie.hits[of]
    chance = _no_hit(size, hits, place - 1) - _no_hit(size, hits, place)
    values = np.bincount(of, chance / (tie.start[of] + place), len(ranked.ids))
    return PerList(ranked.ids, values, ranked.rows)


def ndcg(ranked: Ranked, k: int) -> PerList:
    """NDCG@k: sum over ranks r <= k of gain / log2(1 + r), over the same sum in the best order."""
    lists = len(ranked.ids)
    return PerList(
        ranked.ids, _dcg(ranked.ties, k, lists) / _dcg(ranked.ideal, k, lists), ranked.rows
    )


def auc(ranked: Ranked) -> PerList:
    """P(a positive scores above a negative), ties 1/2; only lists that have both.

    GAUC is the mean of the values, weighted by `rows` or not.
    """
    mixed = ranked.hits < ranked.rows
    tie, hits = ranked.ties, ranked.hits
    rank_sums = np.bincount(tie.of, tie.hits * (tie.start + (tie.size + 1) / 2), len(ranked.ids))
    inversions = (rank_sums - hits * (hits + 1) / 2)[mixed]
    pairs = (hits * (ranked.rows - hits))[mixed]
    return PerList(ranked.ids[mixed], 1 - inversions / pairs, ranked.rows[mixed])


def percentile(
    scores: Float[np.ndarray, "n"], group: Int[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    """Share of its list that a candidate outranks, itself and its ties half; in (0, 1).

    Raises ValueError when a score is not a number.
    """
    _refuse_nan(scores)
    _, of, rows = np.unique(group, return_inverse=True, return_counts=True)
    order, first, start, size = _runs(scores, of)
    outranked = rows[of[order][first]] - start - size / 2
    percentiles = np.empty(len(scores))
    percentiles[order] = np.repeat(outranked, size) / rows[of[order]]
    return percentiles


def chance_in_top(
    scores: Float[np.ndarray, "n"], group: Int[np.ndarray, "n"], k: int
) -> Float[np.ndarray, "n"]:
    """How likely a candidate is among the first k of its list: 1, 0, or a tie's share of places.

    Raises ValueError when a score is not a number.
    """
    _refuse_nan(scores)
    order, _, start, size = _runs(scores, np.unique(group, return_inverse=True)[1])
    chance = np.empty(len(scores))
    chance[order] = np.repeat(np.clip((k - start) / size, 0, 1), size)
    return chance


def _refuse_nan(scores: np.ndarray) -> None:
    if np.isnan(scores).any():
        raise ValueError(f"{np.isnan(scores).sum()} of {len(scores)} scores are not a number")


def _runs(scores: np.ndarray, of: np.ndarray) -> tuple[np.ndarray, ...]:
    """Order by list and falling score; per run its first sorted index, start in list, size."""
    order = np.lexsort((-scores, of))
    s, o = scores[order], of[order]
    new = np.ones(len(o), dtype=bool)
    new[1:] = (s[1:] != s[:-1]) | (o[1:] != o[:-1])
    first = np.flatnonzero(new)
    return order, first, first - np.searchsorted(o, o[first]), np.diff(np.append(first, len(o)))


def _ties(scores: np.ndarray, gains: np.ndarray, of: np.ndarray) -> Ties:
    order, first, start, size = _runs(scores, of)
    gain = np.add.reduceat(gains[order], first)
    hits = np.add.reduceat((gains[order] > 0).astype(np.int64), first)
    return Ties(of[order][first], start, size, gain, hits)


def _first_hit(ties: Ties) -> Ties:
    """The best tie with a positive, of each list."""
    hit = np.flatnonzero(ties.hits)
    first = hit[np.unique(ties.of[hit], return_index=True)[1]]
    return Ties(*(field[first] for field in ties))


def _no_hit(size: np.ndarray, hits: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """P(no hit among `drawn` of a tie) = C(size - hits, drawn) / C(size, drawn).

    gammaln is infinite at 0 and below, which makes an impossible draw exactly 0.
    """
    misses = size - hits
    ways = gammaln(misses + 1) - gammaln(misses - drawn + 1)
    return np.exp(ways - (gammaln(size + 1) - gammaln(size - drawn + 1)))


def _dcg(ties: Ties, k: int, lists: int) -> np.ndarray:
    """A tie shares the discounts of its ranks evenly: its mean gain times their sum."""
    discounts = np.append(0.0, np.cumsum(1 / np.log2(np.arange(2, k + 2))))
    end = np.minimum(ties.start + ties.size, k)
    share = discounts[end] - discounts[np.minimum(ties.start, k)]
    return np.bincount(ties.of, ties.gain / ties.size * share, lists)
