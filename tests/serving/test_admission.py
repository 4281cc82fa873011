"""The mean turn that decides who may wait: what counts, and how much."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from serving import admission
from serving.admission import Admission
from serving.refusal import RefusedError

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Clock:
    """Time passes where a turn takes it."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(admission, "time", clock)
    return clock


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.run


async def _ranked(queue: Admission, clock: Clock, seconds: float, fails: bool = False) -> bool:
    try:
        async with queue.turn():
            clock.now += seconds
            if fails:
                raise ValueError("a bad body")
    except RefusedError:
        return False
    except ValueError:
        pass
    return True


async def _burst(queue: Admission, clock: Clock, number: int, seconds: float) -> int:
    """How many of a burst are ranked."""
    return sum(await asyncio.gather(*(_ranked(queue, clock, seconds) for _ in range(number))))


def test_a_slow_first_turn_is_soon_forgotten(clock, run):
    queue = Admission(0.5)
    assert run(_burst(queue, clock, 1, 30.0)) == 1
    ranked = [run(_burst(queue, clock, 20, 0.003)) for _ in range(12)]
    assert ranked[0] < 20
    assert ranked[-1] == 20


def test_a_turn_that_fails_is_not_charged_to_the_next(clock, run):
    queue = Admission(0.5)
    for _ in range(100):
        run(_ranked(queue, clock, 0.0098, fails=True))
        run(_ranked(queue, clock, 0.0098))
    assert run(_burst(queue, clock, 50, 0.0098)) == 50
    assert run(_burst(queue, clock, 100, 0.0098)) == 52


def test_what_may_wait_follows_from_how_long_a_turn_takes(clock, run):
    queue = Admission(0.5)
    run(_burst(queue, clock, 1, 0.09))
    assert run(_burst(queue, clock, 20, 0.09)) == 6
