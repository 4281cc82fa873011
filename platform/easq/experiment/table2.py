"""The metrics of the paper's online test (EASQ §5.3, Table 2), from sums per user."""

from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float, Int

from easq.experiment.assignment import Experiment
from easq.experiment.cuped import adjusted_difference
from easq.experiment.ratio_metrics import PerUser, RelativeDifference, relative_difference
from easq.experiment.sample_ratio import SampleRatio, sample_ratio


class UserSums(NamedTuple):
    """What U users did in the time of the test, [U] each. Who did not come has zeros."""

    active_days: Float[np.ndarray, "user"]
    stay_seconds: Float[np.ndarray, "user"]
    watched_seconds: Float[np.ndarray, "user"]
    views: Float[np.ndarray, "user"]
    like: Float[np.ndarray, "user"]
    follow: Float[np.ndarray, "user"]
    comment: Float[np.ndarray, "user"]
    forward: Float[np.ndarray, "user"]
    questions: Float[np.ndarray, "user"]
    answers: Float[np.ndarray, "user"]
    satisfied: Float[np.ndarray, "user"]
    dissatisfied: Float[np.ndarray, "user"]

    @classmethod
    def nothing(cls, users: int) -> Self:
        return cls(*np.zeros((len(cls._fields), users)))

    def plus(self, more: "UserSums") -> "UserSums":
        return UserSums(*(a + b for a, b in zip(self, more, strict=True)))

    def after_a_day(self, came: Bool[np.ndarray, "user"]) -> "UserSums":
        """With a day on which these users were active."""
        return self._replace(active_days=self.active_days + came)

    def of(self, users: np.ndarray) -> "UserSums":
        """Some of the users, by number or mask."""
        return UserSums(*(column[users] for column in self))


class Metric(NamedTuple):
    """A ratio of sums over users; `per` None: a mean per user of the arm."""

    name: str
    sum: str
    per: str | None = None
    lower_is_better: bool = False

    def of(self, sums: UserSums) -> PerUser:
        x = getattr(sums, self.sum)
        return PerUser(x, np.ones_like(x) if self.per is None else getattr(sums, self.per))


METRICS = (
    Metric("LT7", "active_days"),
    Metric("AppStayTime", "stay_seconds"),
    Metric("WatchTime", "watched_seconds"),
    Metric("VideoView", "views"),
    Metric("Like", "like"),
    Metric("Follow", "follow"),
    Metric("Comment", "comment"),
    Metric("Forward", "forward"),
    Metric("Q-rate", "satisfied", "dissatisfied"),
    Metric("Q-Satisfied", "satisfied", "answers"),
    Metric("Q-Dissatisfied", "dissatisfied", "answers", lower_is_better=True),
    Metric("answer rate", "answers", "questions"),
)
"""LT7: mean active days in seven. Q-rate is Q-Satisfied / Q-Dissatisfied, which the paper's own
numbers say: 1.00929 / 0.99348 = 1.0159, and it reports +1.601 %. Q-Satisfied and Q-Dissatisfied are
shares of answers, so that they do not rise with use. The last is no metric of the paper."""


class Comparison(NamedTuple):
    """Treatment against control: by metric, and who was counted."""

    differences: dict[str, RelativeDifference]
    adjusted: dict[str, RelativeDifference]
    """By CUPED, with the same metric of the days before; empty without such days."""
    users: SampleRatio
    """Whom the salt gave to either arm."""
    served: SampleRatio
    """Who of them was shown at least one ranking."""


def compare(
    sums: UserSums,
    arm: Int[np.ndarray, "user"],
    experiment: Experiment,
    treatment: str,
    control: str,
    before: UserSums | None = None,
) -> Comparison:
    """Judge two arms of an experiment by the sums of all users who were there to be assigned.

    Args:
        arm: of each user, as `Experiment.arms_of` tells; users of other arms are left out.
        before: of the same users before any arm differed, where there is such a time.

    Raises:
        ValueError: the experiment has no such arm, one has fewer than two users, or nobody was
            served.
    """
    names = [one.name for one in experiment.arms]
    if missing := {treatment, control} - set(names):
        raise ValueError(f"{experiment.name} has no arm {missing.pop()!r}; it has {names}")
    numbers = names.index(treatment), names.index(control)
    chosen = [arm == number for number in numbers]
    groups = {m.name: [m.of(sums.of(users)) for users in chosen] for m in METRICS}
    differences = {name: relative_difference(*of) for name, of in groups.items()}
    adjusted = {}
    if before is not None:
        past = {m.name: [m.of(before.of(users)) for users in chosen] for m in METRICS}
        adjusted = {name: adjusted_difference(*of, *past[name]) for name, of in groups.items()}
    shares = [experiment.arms[number].share for number in numbers]
    users, served = (
        sample_ratio([int((one & users).sum()) for users in chosen], shares)
        for one in (np.ones_like(arm, bool), sums.views > 0)
    )
    return Comparison(differences, adjusted, users, served)
