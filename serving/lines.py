"""The model lines of a replica: the service's own, and those that arms of an experiment name.

Every replica holds all of them and ranks with the line of the user's arm. Another line costs
its weights; routing users to replicas by arm would need a front door that reads bodies, and
would let arms differ by load as well.
"""

from collections.abc import Mapping
from typing import NamedTuple

from easq.experiment.assignment import REST, Experiment, bucket
from serving.contract import Assignment
from serving.live import Live
from serving.refresh import Refresher
from serving.refusal import RefusedError
from serving.vitals import VitalSigns


class Followed(NamedTuple):
    """A model that a replica follows, and what is counted of its rankings."""

    refresher: Refresher
    signs: VitalSigns


class Line(NamedTuple):
    """What ranks for one user."""

    arm: str | None
    """None: there is no experiment."""
    model_name: str
    refresher: Refresher
    signs: VitalSigns
    own: Refresher
    """Of the service's own line."""

    def live(self) -> Live:
        """The live version.

        Raises:
            RefusedError: there is none (no other line stands in, or the arms would not differ by
                what they are said to), or its features are not those of the service's own line,
                so that neither could learn from the feedback to the other.
        """
        live, own = self.refresher.live, self.own.live
        if live is None:
            raise RefusedError(
                "no_model",
                f"No version of {self.model_name!r} is being served yet: "
                f"{self.refresher.report.problem or 'the first one is being loaded'}. "
                "Publish one, or wait and ask again; GET /v1/model says what is going on.",
            )
        if own is not None and own.expected != live.expected:
            raise RefusedError(
                "no_model",
                f"Version {live.version.version} of {self.model_name!r} has other features or "
                f"scenarios than version {own.version.version} of {own.version.name!r}, and all "
                "lines learn from the feedback to each: train them on one history, or take "
                f"{self.model_name!r} out of the experiment.",
            )
        return live


class Lines:
    """All lines, by model name."""

    def __init__(
        self,
        own: str,
        followed: Mapping[str, Followed],
        experiment: Experiment | None = None,
    ) -> None:
        """Each model that an arm names, and `own`, must be followed."""
        self.own, self.followed, self.experiment = own, dict(followed), experiment

    def of(self, user_id: object) -> Line:
        """The line of a user. What is no id belongs to no arm; the check of columns refuses it."""
        if self.experiment is None:
            return self._line(None, self.own)
        arm = self.experiment.arm_of(user_id) if isinstance(user_id, int) else None
        return self._line(REST, self.own) if arm is None else self._line(arm.name, arm.model)

    def assignment(self, user_id: int) -> Assignment:
        """What `of` says, for people and clients."""
        line = self.of(user_id)
        if self.experiment is None:
            return Assignment(user_id=user_id, model=line.model_name)
        return Assignment(
            user_id=user_id,
            model=line.model_name,
            experiment=self.experiment.name,
            arm=line.arm,
            bucket=bucket(self.experiment.salt, user_id),
        )

    def all_live(self) -> None:
        """Raises RefusedError unless every line has a version, all of the same features."""
        for name in self.followed:
            self._line(None, name).live()

    def _line(self, arm: str | None, model: str | None) -> Line:
        name = model or self.own
        return Line(arm, name, *self.followed[name], self.followed[self.own].refresher)
