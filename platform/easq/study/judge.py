"""How good rankings are, for every user: behaviour, held-out answers, and the simulator's truth.

Answers make a list a user (EASQ §5.1.2): all items that the user answered about in the judged
days, scored in their own requests and merged by their percentile there.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

import numpy as np

from easq.evaluate import (
    Answered,
    answered,
    behaviour_gains,
    behaviour_lists,
    long_view_lists,
    satisfaction_lists,
)
from easq.events import Answer
from easq.history import History
from easq.metrics import PerList, auc, chance_in_top, hit_rate, ndcg, rank, reciprocal_rank
from easq.samples import BehaviourOrder, Flat, flatten
from easq.simulate.headroom import truth_values
from easq.simulate.truth import read_truth
from easq.study.prequential import Judged
from easq.study.user_sums import (
    ALL,
    BEHAVIOUR,
    GAUC,
    METRICS,
    PARTS,
    TOP_BEHAVIOUR,
    TOP_UNSEEN,
    TOP_Z,
    TRUE_BEHAVIOUR,
    TRUTH,
    UserSums,
)


class Requests(NamedTuple):
    """R judged requests with N candidates, and what is true of them."""

    flat: Flat
    part: np.ndarray  # index into PARTS, [R]
    scenario: np.ndarray  # index into scenarios, 1 up, [R]
    scenarios: tuple[str, ...]  # `all` first
    satisfaction: np.ndarray  # z, [N]
    expected: np.ndarray  # z as far as features tell, [N]
    behaviour: np.ndarray  # gain of what the viewer would do, shown or not, [N]

    @classmethod
    def of(cls, judged: Judged, history: History) -> Self:
        """Raises FileNotFoundError where the history was not simulated."""
        flat = flatten(judged.samples)
        truth = read_truth(history).slice(judged.first_row)
        named = (ALL, *sorted(set(flat.columns.scenario)))
        return cls(
            flat,
            np.array([PARTS.index(part) for part in judged.part]),
            np.array([named.index(scenario) for scenario in flat.columns.scenario]),
            named,
            truth_values(truth, "satisfaction"),
            truth_values(truth, "expected_satisfaction"),
            behaviour_gains(truth_values(truth, "behaviour_level")),
        )


def judge(
    requests: Requests,
    rankings: Mapping[str, np.ndarray],
    satisfied_above: float,
    shown: int,
) -> UserSums:
    """All metrics of every ranking. `shown`: how many candidates a viewer would be shown."""
    users, user = np.unique(requests.flat.user_id, return_inverse=True)
    size = (len(PARTS), len(requests.scenarios), len(METRICS), 2, len(users))
    tables = []
    for scores in rankings.values():
        table = np.zeros(size)
        for metric, lists in _of_requests(requests, scores, satisfied_above, shown).items():
            _add_requests(table[:, :, METRICS.index(metric)], requests, user, lists)
        for part, scenario, answers in _answers(requests, scores):
            for metric, lists in _of_answers(answers).items():
                place = table[part, scenario, METRICS.index(metric)]
                place[:, np.searchsorted(users, lists.ids)] = lists.values, np.ones(len(lists.ids))
        tables.append(table)
    return UserSums(tuple(rankings), requests.scenarios, users, np.stack(tables))


class Weighed(NamedTuple):
    """A value a request, and its weight in the mean."""

    ids: np.ndarray
    values: np.ndarray
    weights: np.ndarray


def _of_requests(
    requests: Requests, scores: np.ndarray, satisfied_above: float, shown: int
) -> dict[str, Weighed]:
    flat, satisfied = requests.flat, requests.satisfaction > satisfied_above
    top = chance_in_top(scores, flat.request, shown)
    return {
        BEHAVIOUR: _alike(ndcg(behaviour_lists(flat, scores, BehaviourOrder()), 5)),
        GAUC: Weighed(*auc(long_view_lists(flat, scores))),
        TRUTH: _alike(ndcg(rank(scores, satisfied, flat.request), 5)),
        TRUE_BEHAVIOUR: _alike(ndcg(rank(scores, requests.behaviour, flat.request), 5)),
        TOP_Z: _of_top(flat, top, requests.satisfaction),
        TOP_BEHAVIOUR: _of_top(flat, top, requests.behaviour),
        TOP_UNSEEN: _of_top(flat, top, ~flat.exposed),
    }


def _of_top(flat: Flat, top: np.ndarray, values: np.ndarray) -> Weighed:
    """Mean of values [N] over what would be shown; `top`: the chance of each to be, [N]."""
    shown = np.bincount(flat.request, top)
    means = np.bincount(flat.request, top * values) / shown
    return Weighed(np.arange(len(shown)), means, np.ones(len(shown)))


def _alike(lists: PerList) -> Weighed:
    return Weighed(lists.ids, lists.values, np.ones(len(lists.ids)))


def _add_requests(table: np.ndarray, requests: Requests, user: np.ndarray, lists: Weighed) -> None:
    """Into a view [part, scenario, 2, U]; `all` is the sum of the scenarios."""
    parts, scenarios, _, users = table.shape
    cell = (requests.part * scenarios + requests.scenario)[lists.ids] * users + user[lists.ids]
    for place, summed in enumerate((lists.values * lists.weights, lists.weights)):
        sums = np.bincount(cell, summed, parts * scenarios * users)
        table[:, :, place] = sums.reshape(parts, scenarios, users)
    table[:, 0] = table[:, 1:].sum(1)


def _answers(requests: Requests, scores: np.ndarray) -> Iterator[tuple[int, int, Answered]]:
    """The answers of each part and scenario; `all` merges a user's answers of all scenarios."""
    answers = answered(requests.flat, scores)
    request = requests.flat.request[requests.flat.answer != Answer.NONE]
    part, scenario = requests.part[request], requests.scenario[request]
    for p in range(len(PARTS)):
        for s in range(len(requests.scenarios)):
            kept = (part == p) & ((scenario == s) | (s == 0))
            yield p, s, Answered(*(field[kept] for field in answers))


def _of_answers(answers: Answered) -> dict[str, PerList]:
    ranked = satisfaction_lists(answers)
    lists = {f"answers_ndcg_{k}": ndcg(ranked, k) for k in (5, 10, 20)}
    lists |= {f"answers_hr_{k}": hit_rate(ranked, k) for k in (1, 5, 10)}
    return lists | {"answers_mrr": reciprocal_rank(ranked)}
