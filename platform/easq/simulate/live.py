"""Viewers of a simulated world, one request at a time, for a service that ranks for them.

The world is that of a simulated history with the same config: same viewers, same videos, same
upstream models. What a viewer wants and does is drawn here; what is shown comes from outside.
"""

from typing import Any, NamedTuple

import numpy as np

from easq.events import Answer
from easq.history import History
from easq.questionnaire import is_eligible
from easq.simulate.answers import QUESTIONNAIRES, reply
from easq.simulate.columns import item_features, user_features
from easq.simulate.seeds import LIVE_REQUESTS, LIVE_VIEWS, generator
from easq.simulate.simulation import Scene, SimulationConfig, draw_scene, draw_surroundings
from easq.simulate.traffic import DAY_MS, SCENARIOS, Requests, TrafficConfig
from easq.simulate.users import Behaviour, Viewing, behave

BLOCK = 256
"""Requests drawn at once: one by one, numpy's calls would cost more than their numbers."""
ANSWERS = {answer: answer.name.lower() for answer in Answer if answer != Answer.NONE}


class Hidden(NamedTuple):
    """What only the simulator knows of a request with N candidates."""

    number: int
    request_id: str
    viewing: Viewing  # [N]
    expected: np.ndarray  # z as far as features could tell, [N]

    def of(self, ranking: list[int]) -> np.ndarray:
        """Where ranked items stand among the candidates, int. Raises ValueError for others."""
        order = np.argsort(self.viewing.item)
        at = np.searchsorted(self.viewing.item, ranking, sorter=order).clip(max=len(order) - 1)
        if (self.viewing.item[order[at]] != ranking).any():
            raise ValueError(
                f"the ranking of {self.request_id} holds items that were no candidates"
            )
        return order[at]


class ViewerEvent(NamedTuple):
    """What a viewer's client sends, but for the token, and when."""

    after_seconds: float  # of viewing since the ranking came
    body: dict[str, Any]


class _Block(NamedTuple):
    first: int
    scene: Scene
    requests: Requests
    starts: np.ndarray  # [R + 1], of each request's candidates
    user: dict[str, list]  # features, [R] each
    item: dict[str, list]  # features, [N] each
    upstream: dict[str, list]  # [N] each
    duration: list[float]  # [N]


class Audience:
    """Viewers who ask for videos, watch what is ranked first, and answer when asked.

    Request n, and what its viewer makes of a ranking, depend on the config, `seed` and n alone,
    and for tastes and ages on the day. `run` goes before all ids, which makes them unique.
    """

    def __init__(self, config: SimulationConfig, run: str, seed: int = 0) -> None:
        self.config, self.run, self.seed = config, run, seed
        self.world, self.upstream = draw_surroundings(config)
        self._next = 0
        self._block: _Block | None = None

    def request(self, now_ms: int) -> tuple[dict[str, Any], Hidden]:
        """The next request, as the body of POST /v1/rank, and its truth."""
        number = self._next
        self._next += 1
        if self._block is None or number >= self._block.first + BLOCK:
            self._block = self._draw(number, now_ms)
        return self._body(self._block, number, now_ms), self._hidden(self._block, number)

    def view(self, hidden: Hidden, ranking: list[int], asked: list[bool]) -> list[ViewerEvent]:
        """Watch the first videos of a ranking one after another; events in the order of time."""
        shown = hidden.of(ranking[: self.config.traffic.exposed])
        viewing = Viewing(*(column[shown] for column in hidden.viewing))
        rng = generator(self.config.seed, LIVE_VIEWS, self.seed, hidden.number)
        behaviour = behave(self.config.behaviour, self.world, viewing, rng)
        answer = self._answers(viewing, behaviour, np.array(asked[: len(shown)], bool), rng)
        return viewer_events(hidden.request_id, viewing.item, behaviour, answer)

    def _answers(
        self, viewing: Viewing, behaviour: Behaviour, asked: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """The client shows the questionnaire where the service asks and enough was watched."""
        duration = self.world.items.duration_seconds[viewing.item]
        shown = asked & is_eligible(behaviour.watched_seconds, duration)
        questionnaire = QUESTIONNAIRES[self.config.questionnaire]
        return reply(questionnaire, self.world, viewing.user, viewing.satisfaction, shown, rng)

    def _draw(self, number: int, now_ms: int) -> _Block:
        traffic, users = self.config.traffic, self.world.users
        rng = generator(self.config.seed, LIVE_REQUESTS, self.seed, number // BLOCK)
        user = rng.choice(len(users.activity), size=BLOCK, p=users.activity)
        time_ms = np.full(BLOCK, now_ms - traffic.start_ms)
        requests = Requests(user, rng.random(BLOCK) < traffic.explore, time_ms)
        scene = draw_scene(self.config, self.world, self.upstream, requests, rng)
        item = scene.candidates.item
        features = item_features(self.world, item, time_ms[0] / DAY_MS)
        return _Block(
            number,
            scene,
            requests,
            np.concatenate([[0], np.cumsum(scene.candidates.lengths)]),
            _lists(user_features(self.world, user), "user."),
            _lists(features, "item."),
            _lists(scene.scores, ""),
            self.world.items.duration_seconds[item].tolist(),
        )

    def _body(self, block: _Block, number: int, now_ms: int) -> dict[str, Any]:
        at = number - block.first
        start, end = block.starts[at], block.starts[at + 1]
        items = {name: values[start:end] for name, values in block.item.items()}
        return {
            "request_id": f"{self.run}-{number:09d}",
            "user": {name: values[at] for name, values in block.user.items()}
            | {"user_id": int(block.requests.user[at])},
            "scenario": SCENARIOS[int(block.requests.explore[at])],
            "request_time_ms": now_ms,
            "candidates": items | {"duration_seconds": block.duration[start:end]},
            "upstream": {name: values[start:end] for name, values in block.upstream.items()},
            "top_k": self.config.traffic.exposed,
        }

    def _hidden(self, block: _Block, number: int) -> Hidden:
        at = number - block.first
        part = slice(block.starts[at], block.starts[at + 1])
        viewing = Viewing(*(column[part] for column in block.scene.viewing))
        return Hidden(number, f"{self.run}-{number:09d}", viewing, block.scene.expected[part])


def config_of(history: History) -> SimulationConfig:
    """The config that wrote a simulated history. Raises ValueError where none did."""
    source = history.description.sources[0]
    if source.name != "simulation":
        raise ValueError(
            f"{history.root} was not simulated but made from {source.name!r}: viewers need a "
            "world whose truth is known (`easq simulate`)."
        )
    return SimulationConfig.model_validate_json(source.parameters)


def day_shift_ms(traffic: TrafficConfig, now_ms: int) -> int:
    """Whole days to add to the clock so that today is the first day after the history's last."""
    today = (now_ms - traffic.start_ms) // DAY_MS
    return (traffic.days - today) * DAY_MS


def _lists(columns: dict[str, np.ndarray], prefix: str) -> dict[str, list]:
    return {name.removeprefix(prefix): values.tolist() for name, values in columns.items()}


def viewer_events(
    request_id: str, item: np.ndarray, behaviour: Behaviour, answer: np.ndarray
) -> list[ViewerEvent]:
    """A behaviour for each video, at its end, and the answer after it."""
    events = []
    for place, after in enumerate(np.cumsum(behaviour.watched_seconds, dtype=float).tolist()):
        about = {
            "item_id": int(item[place]),
            "watched_seconds": float(behaviour.watched_seconds[place]),
        }
        done = [name for name, happened in behaviour.actions.items() if happened[place]]
        said = {"kind": "behaviour", "event_id": f"{request_id}.{place}.b", "behaviours": done}
        events.append(ViewerEvent(after, said | about))
        if answer[place] != Answer.NONE:
            word = ANSWERS[Answer(answer[place])]
            said = {"kind": "answer", "event_id": f"{request_id}.{place}.a", "answer": word}
            events.append(ViewerEvent(after, said | about))
    return events
