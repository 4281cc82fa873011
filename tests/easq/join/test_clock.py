"""The server's clock jumps an hour ahead, and perhaps back: nothing goes without being counted."""

import pyarrow as pa

START, HOUR = 10_000_000, 3_600_000
AFTER = START + HOUR
TOKEN = START + 3 * HOUR


def samples(windows: list[pa.Table]) -> list[tuple[str, str]]:
    """Kind and request of each."""
    return [
        (row["kind"], row["request_id"]) for w in windows for row in w.to_pylist() if row["item_id"]
    ]


def test_a_jump_ahead_closes_open_requests_with_what_they_have(script):
    seen = script.shown(START, "seen", expires_at_ms=TOKEN)
    unseen = script.shown(START + 500, "unseen", expires_at_ms=TOKEN)
    script.watched(START + 1000, seen, 1, 9.0)
    new = script.shown(AFTER, "new")
    script.watched(AFTER + 100, seen, 2, 9.0)
    script.watched(AFTER + 200, unseen, 1, 9.0)
    script.answered(AFTER + 300, unseen, 1)
    script.watched(AFTER + 400, new, 1, 9.0)
    script.tick(AFTER + 30_000)
    joiner = script.joiner()
    windows = joiner.feed(script.rows())
    assert samples(windows) == [
        ("behaviour", "seen"),
        ("answer", "unseen"),
        ("behaviour", "new"),
    ]
    assert joiner.counts["late behaviours"] == 2
    assert joiner.counts["requests nobody saw"] == 1
    assert not joiner.counts["answers to unknown requests"]


def test_after_a_jump_back_behaviour_is_late_and_answers_wait_until_the_clock_has_caught_up(
    script,
):
    script.shown(AFTER, "ahead")
    for k in range(5):
        at = START + 3000 * k
        shown = script.shown(at, f"r{k}")
        script.watched(at + 1000, shown, 1, 9.0)
        script.answered(at + 2000, shown, 1)
    joiner = script.joiner()
    assert joiner.feed(script.rows()) == []
    assert joiner.counts["late behaviours"] == 5
    assert joiner.counts["answer samples"] == 5
    fed = len(script.events)
    script.tick(AFTER + 2000)
    windows = joiner.feed(script.rows(fed))
    assert samples(windows) == [("answer", f"r{k}") for k in range(5)]
