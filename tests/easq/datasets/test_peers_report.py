"""The page says what was measured and how sure it is."""

import numpy as np
import pytest

from easq.datasets.kuairand import import_files
from easq.datasets.kuairand_files import find_files
from easq.datasets.kuairand_lists import Lists
from easq.history_write import write_history
from easq.peers.judge import Truth
from easq.samples import flatten
from jobs.peers_report import YARDSTICK, findings, results_of

USERS, DAYS, A_DAY = 30, 3, 4


@pytest.fixture
def truth(folder, tmp_path) -> Truth:
    """Every user-day has one long view and one like, on its first item."""
    folder.rows = [
        folder.row(user, 10 + n, day, hour=n, long_view=int(n == 0), is_like=int(n == 0))
        for user in range(USERS)
        for day in range(DAYS)
        for n in range(A_DAY)
    ]
    files = find_files(folder.write())
    logs = []
    for share in (0.2, 1.0):
        imported = import_files(files, Lists.USER_DAY, 1 << 10, share)
        history = write_history(tmp_path / f"log-{share}", *imported)
        logs.append([flatten(history.read(w)) for w in history.windows(10**6)])
    return Truth.of(*(parts[0] for parts in logs))


def test_the_page_and_its_numbers(truth):
    first = (truth.flat.columns.item["item_id"] == 10).astype(float)
    results = results_of(truth, {YARDSTICK: [first, 1 - first], "good": [first, first]})
    told = findings(truth, results, revealed=0.2, seeds=2)
    written = told.found
    assert written["gauc"]["long view"]["good"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert written["over_easq"]["hidden like"]["good"]["mean"] == 0.5
    assert written["lists"]["long view"] > written["lists"]["hidden like"] > 0
    assert "hidden hate" not in written["lists"]
    hidden = int((truth.hidden > 0).sum())
    page = "".join(told.blocks)
    assert f"{hidden} likes and 0 hates of the judged days stayed hidden" in page
    assert results.metrics()["hidden_like/good"] == pytest.approx(1.0)
    assert np.isfinite(list(results.metrics().values())).all()
