"""How a ranking of logged candidates is judged: GAUC inside user-days.

Lists are user-days. A list counts where both classes are in it, weighed by its rows; candidates
whose answer was revealed are in no list of answers, for a method may have learnt from them. The
first days are in no list at all: settings were chosen on them.
"""

from typing import NamedTuple, Self

import numpy as np

from easq.bootstrap import Difference, paired_bootstrap
from easq.evaluate import long_view_lists
from easq.events import Answer
from easq.metrics import PerList, Ranked, auc, rank
from easq.samples import Flat

QUESTIONS = ("long view", "hidden like", "hidden hate", "hidden like over hidden hate")
"""What should stand above: long views, likes and (from below) hates among the other candidates,
likes above hates where a viewer gave both on a day."""
LONG_VIEW, HIDDEN_LIKE, HIDDEN_HATE, _ = QUESTIONS

CHOSEN_ON = 6
"""Days, from the first, on which settings were chosen."""


class Truth(NamedTuple):
    """A log as methods see it, and what was hidden from them."""

    flat: Flat
    hidden: np.ndarray  # int8 [N], of events.Answer
    first: int = 0  # the first request that is judged

    @classmethod
    def of(cls, revealed: Flat, everything: Flat, first: int = 0) -> Self:
        """Raises ValueError where the two are not the same candidates."""
        same = np.array_equal(
            revealed.columns.item["item_id"], everything.columns.item["item_id"]
        ) and np.array_equal(revealed.user_id, everything.user_id)
        if not same:
            raise ValueError("the log with all answers has other candidates than the log to learn")
        is_open = revealed.answer == Answer.NONE
        return cls(revealed, np.where(is_open, everything.answer, Answer.NONE), first)

    @property
    def liked(self) -> np.ndarray:
        """Every like, revealed or hidden, bool [N]: for ceilings alone."""
        return (self.flat.answer == Answer.SATISFIED) | (self.hidden == Answer.SATISFIED)


def lists_of(truth: Truth, scores: np.ndarray) -> dict[str, PerList]:
    """AUC of each user-day, by question."""
    liked, hated = (truth.hidden == kind for kind in (Answer.SATISFIED, Answer.DISSATISFIED))
    unseen = truth.flat.answer == Answer.NONE
    ranked = (
        long_view_lists(truth.flat, scores),
        _ranked(truth, scores, liked, unseen),
        _ranked(truth, -scores, hated, unseen),
        _ranked(truth, scores, liked, liked | hated),
    )
    return {
        name: _from(truth.first, auc(lists)) for name, lists in zip(QUESTIONS, ranked, strict=True)
    }


def _from(first: int, lists: PerList) -> PerList:
    judged = lists.ids >= first
    return PerList(*(column[judged] for column in lists))


def _ranked(truth: Truth, scores: np.ndarray, wanted: np.ndarray, among: np.ndarray) -> Ranked:
    return rank(scores[among], wanted[among], truth.flat.request[among])


def gauc(lists: list[PerList], flat: Flat) -> Difference:
    """Row-weighted mean over lists and seeds, with its interval over users."""
    return gain(lists, [seed._replace(values=np.zeros(len(seed.values))) for seed in lists], flat)


def gain(lists: list[PerList], over: list[PerList], flat: Flat) -> Difference:
    """GAUC of one method less that of another on the same lists; each the mean of its seeds."""
    a, b = (np.mean([seed.values for seed in of], axis=0) for of in (lists, over))
    return paired_bootstrap(a, b, flat.user_id[lists[0].ids], weight=lists[0].rows)
