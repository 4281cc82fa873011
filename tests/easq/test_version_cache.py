"""A cache of versions stays small, and never loses what somebody may be loading."""

import os
import time
from pathlib import Path

import pytest

from easq.version_cache import evict

MINUTE, HOUR = 60, 3600


def add(cache: Path, name: str, seconds_ago: float) -> None:
    """A folder of that age, with something in it."""
    (cache / name).mkdir()
    (cache / name / "file").write_text("x")
    os.utime(cache / name, times=(time.time() - seconds_ago,) * 2)


def left(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()}


def digest(number: int) -> str:
    return f"{number:016x}"


def test_the_newest_three_versions_stay_however_old_they_are(tmp_path):
    for number in range(6):
        add(tmp_path, digest(number), seconds_ago=(number + 1) * HOUR)
    evict(tmp_path)
    assert left(tmp_path) == {digest(0), digest(1), digest(2)}


def test_what_was_fetched_within_ten_minutes_stays(tmp_path):
    for number, minutes in enumerate([0, 1, 2, 3, 9, 11]):
        add(tmp_path, digest(number), seconds_ago=minutes * MINUTE)
    evict(tmp_path)
    assert left(tmp_path) == {digest(n) for n in range(5)}


@pytest.mark.parametrize(("minutes", "stays"), [(59, True), (61, False)])
def test_a_broken_download_goes_after_an_hour(tmp_path, minutes, stays):
    add(tmp_path, ".arriving-k3j2", seconds_ago=minutes * MINUTE)
    evict(tmp_path)
    assert left(tmp_path) == ({".arriving-k3j2"} if stays else set())


def test_what_is_no_version_is_left_alone(tmp_path):
    for number, name in enumerate(["photos", "1234", digest(7) + "0", "mlruns", "a", "b"]):
        add(tmp_path, name, seconds_ago=(number + 2) * HOUR)
    before = left(tmp_path)
    evict(tmp_path)
    assert left(tmp_path) == before
