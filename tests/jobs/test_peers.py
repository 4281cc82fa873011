"""`easq peers` from files to pages on a small log, and a second start trains nothing."""

import json
from pathlib import Path

import numpy as np
import pytest

from easq.datasets.kuairand_features import USER_COLUMNS
from easq.datasets.kuairand_log import LOG_COLUMNS
from jobs.peers import peers

USERS, DAYS, A_DAY = 25, 9, 5
FIRST_DAY_MS = 1_650_816_000_000
DAY_MS = 86_400_000


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Of five videos a day the first are watched for longer, and liked now and then."""
    folder, rng = tmp_path / "KuaiRand", np.random.default_rng(0)
    folder.mkdir()
    lines = [",".join(LOG_COLUMNS)]
    for user, day, n in np.ndindex(USERS, DAYS, A_DAY):
        seen = {
            "user_id": user,
            "video_id": 10 + n,
            "date": 20220425,
            "time_ms": FIRST_DAY_MS + day * DAY_MS + n * 60_000,
            "play_time_ms": 9000,
            "duration_ms": 20000,
            "tab": 1,
            "long_view": int(rng.random() < 0.8 - 0.15 * n),
            "is_like": int(rng.random() < 0.2),
        }
        lines.append(",".join(str(seen.get(name, 0)) for name in LOG_COLUMNS))
    files = {
        "log_standard_4_22_to_5_08_pure.csv": lines,
        "user_features_pure.csv": [
            ",".join(USER_COLUMNS),
            ",".join(["1"] * len(USER_COLUMNS)),
        ],
        "video_features_basic_pure.csv": [
            "video_id,author_id,video_type,upload_dt,upload_type,music_type,tag",
            "10,900,NORMAL,2022-04-10,Web,9.0,12",
        ],
    }
    for name, text in files.items():
        (folder / name).write_text("\n".join(text) + "\n")
    return folder


def test_a_log_becomes_pages_and_a_second_start_goes_on(data, tmp_path, mlflow_uri):
    out = tmp_path / "out"
    peers(data, out, revealed=0.5, seeds=1, tracking=mlflow_uri)
    [folder] = out.iterdir()
    trained = {path: path.stat().st_mtime_ns for path in (folder / "scores").iterdir()}
    result = json.loads((folder / "equal-behaviour" / "result.json").read_text())
    assert result["seeds"] == [0]
    assert len(result["judged_days"]) == DAYS - 6
    curves = {"emer", "easq", "blend", "rows_offset", "heads_offset"}
    assert set(result["found"]["comparison"]["curves"]) == curves
    assert (folder / "equal-behaviour" / "trade-off.svg").stat().st_size
    page = (folder / "peers" / "index.html").read_text()
    assert "additive, every past like" in page
    peers(data, out, revealed=0.5, seeds=1, tracking=mlflow_uri)
    again = {path: path.stat().st_mtime_ns for path in (folder / "scores").iterdir()}
    assert again == trained
