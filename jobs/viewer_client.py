"""The HTTP side of simulated viewers: one answer or one problem for everything that is sent."""

import json
import time
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp

KEEP_IDLE_SECONDS = 2.0
"""Servers close idle connections after 5 s; a request sent just then would fail for nothing."""
NO_ANSWER = 0
PASSING = {NO_ANSWER, 429, 500, 502, 503, 504, 507}
"""Statuses after which the same may be accepted later."""


OVERLOADED = "503 overloaded"
"""The problem of a ranking that the service refuses because too many are asked for."""


class Reply(NamedTuple):
    status: int  # of HTTP, or NO_ANSWER
    body: dict[str, Any]  # of a 200
    problem: str  # of everything else, a few words
    milliseconds: float


class ViewerClient:
    """Connections to the service; an async context."""

    def __init__(self, url: str, timeout_seconds: float, api_key: str | None = None) -> None:
        self.url, self.timeout_seconds = url.rstrip("/"), timeout_seconds
        self.under_way = 0
        self.headers = {"content-type": "application/json"}
        if api_key is not None:
            self.headers["x-api-key"] = api_key

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_IDLE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=self.timeout_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self.headers,
        )
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self._session.close()

    async def post(self, path: str, body: dict[str, Any]) -> Reply:
        started = time.perf_counter()
        self.under_way += 1
        try:
            async with self._session.post(self.url + path, data=json.dumps(body)) as response:
                status, content = response.status, await response.read()
        except TimeoutError:
            status, content, problem = NO_ANSWER, b"", "timeout"
        except aiohttp.ClientError as error:
            status, content, problem = NO_ANSWER, b"", type(error).__name__
        else:
            problem = "" if status == 200 else f"{status} {_code(content)}".strip()
        finally:
            self.under_way -= 1
        milliseconds = 1000 * (time.perf_counter() - started)
        return Reply(status, json.loads(content) if status == 200 else {}, problem, milliseconds)


def _code(content: bytes) -> str:
    """The code of the service's typed errors; a proxy before it has none."""
    try:
        return json.loads(content)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return ""
