"""Rankings at a steady rate: half of what the service takes from clients who never wait.

Usage: steady_load.py URL REQUESTS OUT

REQUESTS is one body a line. A line of JSON on standard output tells the rate once it is known;
then requests go out on a schedule until standard input ends. OUT gets a line a request: when it
was due and when it came (Unix seconds), status, weights, and of every seventh its ranking.
"""

import asyncio
import itertools
import json
import sys
import time
from pathlib import Path
from typing import TextIO

import aiohttp

CLIENTS, PROBE_SECONDS = 8, 6.0
SAMPLED = 7


class Service:
    """A service, and the requests that it is asked in turn."""

    def __init__(self, session: aiohttp.ClientSession, url: str, bodies: list[str]) -> None:
        self.session, self.url, self.bodies = session, f"{url}/v1/rank", bodies

    async def ask(self, number: int) -> tuple[int, str, bytes]:
        """Status, replica and body; a connection that breaks is status 0."""
        body = self.bodies[number % len(self.bodies)]
        try:
            async with self.session.post(self.url, data=body) as response:
                replica = response.headers.get("x-easq-replica", "")
                return response.status, replica, await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, "", repr(error).encode()


async def capacity(service: Service, seconds: float) -> float:
    """Requests a second of clients who never wait. Raises RuntimeError where one fails."""
    end, numbers = time.monotonic() + seconds, itertools.count()

    async def client() -> None:
        while time.monotonic() < end:
            status, _, content = await service.ask(next(numbers))
            if status != 200:
                raise RuntimeError(f"the service answered {status}: {content[:500]!r}")

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return next(numbers) / seconds


async def one(service: Service, number: int, due: float, out: TextIO) -> None:
    status, replica, content = await service.ask(number)
    record = {"due": due, "came": time.time(), "status": status, "replica": replica}
    if status == 200:
        body = json.loads(content)
        record |= {"version": body["model"]["version"], "seq": body["model"]["seq"]}
        if number % SAMPLED == 0:
            asked = number % len(service.bodies)
            record |= {"request": asked, "item_id": body["item_id"], "score": body["score"]}
    else:
        record["problem"] = content.decode(errors="replace")[:300]
    out.write(json.dumps(record) + "\n")


async def steady(service: Service, rate: float, ended: asyncio.Event, out: TextIO) -> None:
    began = time.time()
    async with asyncio.TaskGroup() as tasks:
        for number in itertools.count():
            due = began + number / rate
            await asyncio.sleep(max(due - time.time(), 0))
            if ended.is_set():
                return
            tasks.create_task(one(service, number, due, out))


async def main(url: str, requests: Path, out: Path) -> None:
    timeout, connector = aiohttp.ClientTimeout(total=30), aiohttp.TCPConnector(limit=0)
    headers = {"content-type": "application/json"}
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers=headers
    ) as session:
        service = Service(session, url, requests.read_text().splitlines())
        await capacity(service, 1.0)
        rate = await capacity(service, PROBE_SECONDS) / 2
        print(json.dumps({"rate": rate}), flush=True)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
        with out.open("w") as lines:
            await steady(service, rate, ended, lines)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
