"""Who opens the app when, and which videos are candidates."""

from datetime import UTC, date, datetime
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from easq.simulate.world import World

DAY_MS = 86_400_000
SCENARIOS = ("main", "explore")


class TrafficConfig(BaseModel):
    """Requests over the simulated days, in UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests: int = Field(default=20_000, ge=1)
    """Where they are independent; viewers who visit make as many as they like."""
    first_day: date = date(2025, 1, 6)
    days: int = Field(default=7, ge=1)
    candidates: tuple[int, int] = (12, 24)
    """Fewest and most draws of candidates in a request; a video drawn twice counts once."""
    exposed: int = Field(default=8, ge=1)
    explore: float = Field(default=0.3, ge=0, le=1)
    """Share of requests in the scenario `explore`, where candidates are less often popular."""
    explore_popularity: float = Field(default=0.3, ge=0, le=1)
    """Exponent on popularity there: 0 draws all videos alike."""

    @model_validator(mode="after")
    def _candidates_in_order(self) -> "TrafficConfig":
        if not 1 <= self.candidates[0] <= self.candidates[1]:
            raise ValueError(f"candidates must be (fewest, most), got {self.candidates}")
        return self

    @property
    def start_ms(self) -> int:
        midnight = datetime(self.first_day.year, self.first_day.month, self.first_day.day)
        return int(midnight.replace(tzinfo=UTC).timestamp()) * 1000


class Requests(NamedTuple):
    """R requests, in time order."""

    user: np.ndarray  # [R]
    explore: np.ndarray  # bool [R]
    time_ms: np.ndarray  # since the first midnight, [R]

    @property
    def day(self) -> np.ndarray:
        return self.time_ms // DAY_MS

    def part(self, start: int, end: int) -> "Requests":
        return Requests(*(column[start:end] for column in self))


class Candidates(NamedTuple):
    """N candidates of R requests, flat, sorted by request."""

    item: np.ndarray  # [N]
    request: np.ndarray  # [N]
    lengths: np.ndarray  # [R]


def draw_requests(config: TrafficConfig, world: World, rng: np.random.Generator) -> Requests:
    """Requests of all days; evenings see more than nights."""
    size = config.requests
    day = rng.integers(config.days, size=size)
    hour = rng.triangular(0.0, 20.0, 24.0, size=size)
    time_ms = np.sort(day * DAY_MS + (hour * 3_600_000).astype(np.int64))
    user = rng.choice(len(world.users.activity), size=size, p=world.users.activity)
    return Requests(user, rng.random(size) < config.explore, time_ms)


def draw_candidates(
    config: TrafficConfig, world: World, requests: Requests, rng: np.random.Generator
) -> Candidates:
    """Videos retrieved for each request, in no order, none twice."""
    fewest, most = config.candidates
    size = (len(requests.user), most)
    popularity = world.items.popularity
    flat = popularity**config.explore_popularity
    item = np.where(requests.explore[:, None], _draw(flat, size, rng), _draw(popularity, size, rng))
    lengths = rng.integers(fewest, most + 1, size=len(requests.user))
    keep = (np.arange(most) < lengths[:, None]) & ~_seen_before(item)
    return Candidates(item[keep], np.nonzero(keep)[0], keep.sum(axis=1))


def _draw(weights: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    return rng.choice(len(weights), size=size, p=weights / weights.sum())


def _seen_before(item: np.ndarray) -> np.ndarray:
    """True where a row already holds the same number further left, bool [R, M]."""
    order = np.argsort(item, axis=1, kind="stable")
    ordered = np.take_along_axis(item, order, axis=1)
    repeated = np.zeros(item.shape, dtype=bool)
    np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return repeated
