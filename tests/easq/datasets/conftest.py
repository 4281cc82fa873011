"""A KuaiRand folder of three days, two users and three videos, small enough to work by hand."""

import gzip
from pathlib import Path

import pytest

from easq.datasets.kuairand import Imported, import_files
from easq.datasets.kuairand_features import USER_COLUMNS
from easq.datasets.kuairand_files import find_files
from easq.datasets.kuairand_lists import Lists
from easq.datasets.kuairand_log import LOG_COLUMNS

MIDNIGHT_MS = 1_650_816_000_000  # 2022-04-25 00:00 in China, 2022-04-24 16:00 UTC
HOUR_MS = 3_600_000


class KuaiRandFolder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.header = LOG_COLUMNS
        self.log = "log_standard_4_22_to_5_08_pure.csv"
        self.rows = [
            self.row(1, 10, 0, long_view=1, is_click=1),
            self.row(1, 11, 0, hour=13),
            self.row(2, 10, 0, is_like=1),
            self.row(1, 10, 1, long_view=1, is_follow=1),
            self.row(2, 11, 1, long_view=1, tab=4),
            self.row(2, 10, 1, hour=14, is_hate=1),
            self.row(2, 12, 2, duration_ms=0),
            self.row(2, 10, 2, hour=14),
        ]
        self.users = [",".join(USER_COLUMNS)]
        self.users += [",".join(["1", *['"[100,1k)"'] * (len(USER_COLUMNS) - 5), "53,0,,799"])]
        self.videos = [
            "video_id,author_id,video_type,upload_dt,upload_type,music_type,tag",
            '10,900,NORMAL,2022-04-10,Web,9.0,"12,65"',
            "11,900,NORMAL,2022-04-10,Web,,12",
        ]

    @staticmethod
    def row(user_id: int, video_id: int, day: int, hour: float = 12, **other: object) -> str:
        values = dict.fromkeys(LOG_COLUMNS, 0) | {
            "user_id": user_id,
            "video_id": video_id,
            "date": 20220425,
            "time_ms": MIDNIGHT_MS + int((24 * day + hour) * HOUR_MS),
            "play_time_ms": 2500,
            "duration_ms": 20000,
            "tab": 1,
        }
        return ",".join(str(value) for value in (values | other).values())

    def write(self, suffix: str = "") -> Path:
        self.put(self.log + suffix, [",".join(self.header), *self.rows])
        self.put("user_features_pure.csv" + suffix, self.users)
        self.put("video_features_basic_pure.csv" + suffix, self.videos)
        return self.path

    def put(self, name: str, lines: list[str]) -> None:
        text = "".join(f"{line}\n" for line in lines).encode()
        (self.path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)

    def read(self, lists: Lists = Lists.USER_DAY) -> Imported:
        return import_files(find_files(self.path), lists, max_rows=1 << 19)

    def imported(self, lists: Lists = Lists.USER_DAY) -> Imported:
        self.write()
        return self.read(lists)


@pytest.fixture
def folder(tmp_path: Path) -> KuaiRandFolder:
    return KuaiRandFolder(tmp_path)
