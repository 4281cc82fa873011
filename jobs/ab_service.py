"""The running platform as what simulated users live with: rankings and feedback over HTTP."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from easq.experiment.crowd import Served
from easq.experiment.in_process import columns_of
from easq.features import Columns
from easq.simulate.live import viewer_events
from easq.simulate.simulation import Outcome, Scene, SimulationConfig
from easq.simulate.traffic import Requests
from easq.simulate.users import Behaviour
from easq.simulate.world import World
from jobs.viewer_client import PASSING, Reply, ViewerClient

AT_ONCE = 16
"""Requests under way."""
PATIENCE_SECONDS, PAUSE_SECONDS = 60.0, 0.2
TIMEOUT_SECONDS = 10.0

Body = dict[str, Any]


class _Page(NamedTuple):
    """A ranking that has come, and the candidates it is of."""

    candidates: slice
    response: Body


class HttpService:
    """An `easq.experiment.crowd.Service` behind the platform's API.

    Times of requests are the simulated ones; what is learnt when follows from the real ones.
    """

    def __init__(self, url: str, config: SimulationConfig, world: World) -> None:
        self.url, self.config, self.world = url, config, world
        self.run = f"ab-{secrets.token_hex(4)}"
        self.counts: Counter[str] = Counter()
        """Of `ranked`, `accepted` and `rejected <code>`."""
        self.models: Counter[tuple[str, str]] = Counter()
        """Rankings by arm and model name, as the responses say."""
        self.newest: dict[str, tuple[int, int]] = {}
        """Version and last delta that ranked last, by model name."""
        self._pages: list[_Page] = []

    def rank(self, requests: Requests, scene: Scene) -> Served:
        """Every user's ranking. Raises RuntimeError when one does not come within a minute."""
        columns = columns_of(self.config, self.world, requests, scene)
        duration = self.world.items.duration_seconds[scene.viewing.item]
        asked = [("/v1/rank", body) for body in self._bodies(columns, duration)]
        replies = asyncio.run(self._all(asked))
        ends = np.cumsum(columns.lengths).tolist()
        starts = [0, *ends[:-1]]
        self._pages = [
            _Page(slice(start, end), reply.body)
            for start, end, reply in zip(starts, ends, replies, strict=True)
        ]
        for page in self._pages:
            model = page.response["model"]
            self.counts["ranked"] += 1
            self.models[page.response["arm"] or "", model["name"]] += 1
            self.newest[model["name"]] = model["version"], model["seq"]
        return self._served(scene.viewing.item)

    def tell(self, _: Requests, outcome: Outcome) -> None:
        """Send what was done with the pages ranked last, each page in one batch."""
        batches = [("/v1/events", {"events": self._events(p, outcome)}) for p in self._pages]
        for reply in asyncio.run(self._all(batches)):
            for result in reply.body["results"]:
                accepted = result["status"] == "accepted"
                self.counts["accepted" if accepted else f"rejected {result['code']}"] += 1

    def _served(self, item: np.ndarray) -> Served:
        place, may_ask = np.zeros(len(item), int), np.zeros(len(item), bool)
        for page in self._pages:
            ranking = page.response["item_id"]
            at = {candidate: number for number, candidate in enumerate(ranking)}
            mine = item[page.candidates].tolist()
            after = iter(range(len(ranking), len(mine)))
            places = [at[i] if i in at else next(after) for i in mine]
            questions = [i in at and page.response["asked"][at[i]] for i in mine]
            place[page.candidates], may_ask[page.candidates] = places, questions
        return Served(place, may_ask)

    def _bodies(self, columns: Columns, duration: np.ndarray) -> Iterator[Body]:
        ends = np.cumsum(columns.lengths)
        user = {name.removeprefix("user."): v.tolist() for name, v in columns.user.items()}
        item = {name: v.tolist() for name, v in columns.item.items()}
        for row, (end, length) in enumerate(zip(ends, columns.lengths, strict=True)):
            part = slice(end - length, end)
            of_item = {k: v[part] for k, v in item.items() if not k.startswith("upstream.")}
            upstream = {k: v[part] for k, v in item.items() if k.startswith("upstream.")}
            yield {
                "request_id": f"{self.run}-{self.counts['ranked'] + row:09d}",
                "user": {name: values[row] for name, values in user.items()},
                "scenario": columns.scenario[row],
                "request_time_ms": int(columns.time_ms[row]),
                "candidates": {k.removeprefix("item."): v for k, v in of_item.items()}
                | {"duration_seconds": duration[part].tolist()},
                "upstream": {k.removeprefix("upstream."): v for k, v in upstream.items()},
                "top_k": self.config.traffic.exposed,
            }

    def _events(self, page: _Page, outcome: Outcome) -> list[Body]:
        """Of one page, in the order in which its videos were shown."""
        part, request_id = page.candidates, page.response["request_id"]
        order = np.argsort(outcome.place[part], kind="stable")
        shown = part.start + order[outcome.exposed[part][order]]
        behaviour = Behaviour(
            outcome.behaviour.watched_seconds[shown],
            {name: done[shown] for name, done in outcome.behaviour.actions.items()},
        )
        item, answer = outcome.candidates.item[shown], outcome.replies.answer[shown]
        about = {"token": page.response["token"], "client_time_ms": time.time_ns() // 1_000_000}
        return [e.body | about for e in viewer_events(request_id, item, behaviour, answer)]

    async def _all(self, sent: list[tuple[str, Body]]) -> list[Reply]:
        free = asyncio.Semaphore(AT_ONCE)
        async with ViewerClient(self.url, TIMEOUT_SECONDS) as client:
            return list(await asyncio.gather(*(_answered(client, free, *one) for one in sent)))


async def _answered(client: ViewerClient, free: asyncio.Semaphore, path: str, body: Body) -> Reply:
    """Ask until there is an answer with a token: a user who is left out would bend the test."""
    async with free:
        give_up = time.monotonic() + PATIENCE_SECONDS
        reply = await client.post(path, body)
        while not _is_usable(reply):
            if reply.status not in {200, *PASSING} or time.monotonic() > give_up:
                break
            await asyncio.sleep(PAUSE_SECONDS)
            reply = await client.post(path, body)
        else:
            return reply
    raise RuntimeError(
        f"{path} gave no answer that the test can use: {reply.problem or 'no token'}"
    )


def _is_usable(reply: Reply) -> bool:
    """Rankings need a token; replies about events have no `feedback`."""
    return reply.status == 200 and reply.body.get("feedback", "on") == "on"
