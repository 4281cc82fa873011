"""Which users see which model line: a salted hash puts each user into one of 10,000 buckets.

The arm follows from salt and user alone, so every replica and every evaluation agree on it
without a table, and another salt divides the same users anew and independently.
"""

import hashlib
import tomllib
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from easq.train.config import absolute_uri

BUCKETS = 10_000
REST = "rest"
"""The arm of all users outside the experiment."""


class Arm(BaseModel):
    """A share of the users, and the model line that ranks for them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=50)
    share: float = Field(gt=0, le=1)
    """Of all users, in ten-thousandths (EASQ §5.3: 0.051)."""
    model: str | None = None
    """Registered model whose champion this arm is served; None: the service's own."""
    models: str | None = None
    """Address of the log whose topic `models` holds the line's deltas; None: champions alone are
    served, unless the line is the service's own. Lines must not share one."""

    @field_validator("models")
    @classmethod
    def _absolute(cls, models: str | None) -> str | None:
        return models and absolute_uri(models)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.models is not None and self.model is None:
            raise ValueError("`models` belongs to a line of its own: name its `model` too")
        return self

    @property
    def buckets(self) -> int:
        return round(self.share * BUCKETS)


class Experiment(BaseModel):
    """Arms, in the order in which they take buckets from 0 on; the rest is in none of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=100)
    salt: str = Field(min_length=1)
    """A new experiment needs a new one, or it inherits what the former did to its users."""
    arms: tuple[Arm, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [arm.name for arm in self.arms]
        if len({*names, REST}) <= len(names):
            raise ValueError(f"arms need different names, none of them {REST!r}; got {names}")
        if any(abs(arm.buckets - arm.share * BUCKETS) > 1e-6 for arm in self.arms):
            raise ValueError(f"shares must be multiples of {1 / BUCKETS:g}, one bucket")
        lines = {(arm.model, arm.models) for arm in self.arms}
        if len({model for model, _ in lines}) < len(lines):
            raise ValueError("arms of one `model` need the same `models`")
        if self._bounds[-1] > BUCKETS:
            raise ValueError(
                f"the shares of all arms together exceed 1: {self._bounds[-1]} buckets"
            )
        return self

    def arm_of(self, user_id: int) -> Arm | None:
        """The user's arm; None: in none, served as if there were no experiment."""
        place = bucket(self.salt, user_id)
        bounds = pairwise(self._bounds)
        return next(
            (
                arm
                for arm, (low, high) in zip(self.arms, bounds, strict=True)
                if low <= place < high
            ),
            None,
        )

    def arms_of(self, user_ids: np.ndarray) -> np.ndarray:
        """Numbers of the users' arms, int [U], in the order of `arms`; -1: in none."""
        place = np.array([bucket(self.salt, user) for user in user_ids.tolist()], int)
        arm = np.searchsorted(self._bounds, place, side="right") - 1
        return np.where(arm < len(self.arms), arm, -1)

    @property
    def _bounds(self) -> list[int]:
        return list(accumulate((arm.buckets for arm in self.arms), initial=0))


def bucket(salt: str, user_id: int) -> int:
    """0 to 9,999, the same for ever."""
    digest = hashlib.sha256(f"{salt}:{user_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def load_experiment(path: Path) -> Experiment:
    """Read a TOML file. Raises ValueError: one sentence a problem."""
    if not path.is_file():
        raise ValueError(f"there is no experiment file {path}; see infra/serve/experiment.toml")
    try:
        return Experiment.model_validate(tomllib.loads(path.read_text()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        problems = ((".".join(map(str, p["loc"])), p["msg"]) for p in error.errors())
        raise ValueError("\n".join(f"{path}: {key}: {said}" for key, said in problems)) from error
