import gzip

import pyarrow as pa
import pytest

from easq.datasets.kuairand_features import hashed
from easq.datasets.kuairand_files import find_files


def put_aside(imported) -> list[tuple]:
    rows = imported.rejected.to_pylist()
    return sorted((row["file"], row["line"], row["reason"]) for row in rows)


def test_plain_and_gzip_files_hold_the_same(folder):
    plain = folder.imported().samples
    for path in folder.path.iterdir():
        path.unlink()
    folder.write(".gz")
    assert folder.read().samples.equals(plain)


def test_the_published_archive_keeps_its_files_in_data(folder):
    folder.write()
    (folder.path / "data").mkdir()
    for path in folder.path.glob("*.csv"):
        path.rename(folder.path / "data" / path.name)
    assert find_files(folder.path).variant == "pure"


def test_several_logs_are_one_history_and_other_logs_are_left_alone(folder):
    whole = folder.imported().samples
    header = ",".join(folder.header)
    folder.put("log_standard_4_08_to_4_21_pure.csv", [header, *folder.rows[:3]])
    folder.put("log_random_4_22_to_5_08_pure.csv", ["not read"])
    folder.put("video_features_statistic_pure.csv", ["not read"])
    folder.rows = folder.rows[3:]
    imported = folder.imported()
    assert imported.samples.equals(whole)
    assert [source.rows for source in imported.sources] == [3, 5, 1, 2]


def test_exact_duplicates_count_once_within_and_across_files(folder):
    once = folder.imported().samples
    header = ",".join(folder.header)
    folder.put("log_standard_4_08_to_4_21_pure.csv", [header, folder.rows[0]])
    folder.rows.append(folder.rows[5])
    imported = folder.imported()
    assert imported.samples.equals(once)
    reason = "exact duplicate of another row"
    assert put_aside(imported) == [(folder.log, 2, reason), (folder.log, 10, reason)]


def test_rows_that_differ_in_one_published_column_are_no_duplicates(folder):
    folder.rows.append(folder.row(2, 10, 2, hour=14, comment_stay_time=7))
    imported = folder.imported()
    assert imported.samples.column("item_id").to_pylist()[-1] == [12, 10, 10]


def test_bad_rows_are_put_aside_with_line_reason_and_text_and_the_good_ones_go_on(folder):
    good = folder.imported().samples
    bad = {
        "play_time_ms is not a whole number of 0 or more": folder.row(1, 10, 0, play_time_ms="x"),
        "duration_ms is not a whole number of 0 or more": folder.row(1, 10, 0, duration_ms="NaN"),
        "user_id is not a whole number of 0 or more": "," + folder.row(1, 10, 0).split(",", 1)[1],
        "time_ms is not a whole number of 0 or more": folder.row(1, 10, 0, time_ms=-5),
        "time_ms is not in 2000 to 2099": folder.row(1, 10, 0, time_ms=1_650_816_000),
        "is_click is not 0 or 1": folder.row(1, 10, 0, is_click=2),
        "is_like and is_hate are both set": folder.row(1, 10, 0, is_like=1, is_hate=1),
        "tab is not below 15": folder.row(1, 10, 0, tab=15),
        "3 columns instead of 19": "1,10,2022",
        "20 columns instead of 19": folder.row(1, 10, 0) + ",0",
        "video_id is not a whole number of 0 or more": folder.row(1, '"', 0),
        "hourmin is not a whole number of 0 or more": folder.row(1, 10, 0, hourmin="1" * 16),
    }
    folder.rows = [*folder.rows[:3], *bad.values(), *folder.rows[3:]]
    imported = folder.imported()
    assert imported.samples.equals(good)
    expected = [(folder.log, 5 + i, reason) for i, reason in enumerate(bad)]
    assert put_aside(imported) == sorted(expected)
    texts = {row["line"]: row["text"] for row in imported.rejected.to_pylist()}
    assert texts == {5 + i: text for i, text in enumerate(bad.values())}


def test_bytes_that_are_no_text_are_a_bad_row(folder):
    folder.write()
    path = folder.path / folder.log
    path.write_bytes(path.read_bytes() + folder.row(1, "?", 0).encode().replace(b"?", b"\xff\xfe"))
    rejected = put_aside(folder.read())
    assert rejected == [(folder.log, 10, "video_id is not a whole number of 0 or more")]


def test_features_without_an_id_or_listed_again_are_put_aside(folder):
    folder.users += [folder.users[1], folder.users[1].replace("1,", "one,", 1)]
    assert put_aside(folder.imported()) == [
        ("user_features_pure.csv", 3, "user_id came before"),
        ("user_features_pure.csv", 4, "user_id is not a whole number of 0 or more"),
    ]


@pytest.mark.parametrize("cut", [1, 8, 60])
def test_a_truncated_gzip_file_is_refused(folder, cut):
    folder.write(".gz")
    path = folder.path / f"{folder.log}.gz"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ValueError, match=r"pure\.csv\.gz cannot be read to its end .*again"):
        folder.read()


def test_an_empty_file_and_one_that_is_no_gzip_are_refused(folder):
    folder.write()
    (folder.path / folder.log).write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read to its end"):
        folder.read()
    (folder.path / folder.log).rename(folder.path / f"{folder.log}.gz")
    (folder.path / f"{folder.log}.gz").write_bytes(b"user_id,video_id\n")
    with pytest.raises(ValueError, match="cannot be read to its end"):
        folder.read()


def test_a_missing_column_is_named(folder):
    folder.write()
    header = ",".join(name for name in folder.header if name != "long_view")
    folder.put(folder.log, [header])
    with pytest.raises(ValueError, match=r"lacks the columns \['long_view'\]; it has"):
        folder.read()


def test_a_log_without_a_good_row_says_why(folder):
    folder.rows = [folder.row(1, 10, 0, tab=99)]
    with pytest.raises(ValueError, match=r"hold no good row: .*tab is not below 15"):
        folder.imported()


@pytest.mark.parametrize("name", ["log_standard", "user_features", "video_features_basic"])
def test_a_missing_file_is_named(folder, name):
    folder.write()
    next(folder.path.glob(f"{name}*")).unlink()
    with pytest.raises(FileNotFoundError, match=rf"holds no {name}.*it holds \["):
        folder.read()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        find_files(tmp_path / "nowhere")


def test_a_file_both_plain_and_gzip_is_refused(folder):
    folder.write()
    path = folder.path / folder.log
    (folder.path / f"{folder.log}.gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(ValueError, match="both plain and as"):
        folder.read()


def test_two_data_sets_in_one_folder_are_refused(folder):
    folder.write()
    folder.put("user_features_1k.csv", folder.users)
    with pytest.raises(ValueError, match="holds several data sets"):
        folder.read()


def test_strings_hash_the_same_everywhere_and_missing_ones_to_minus_one():
    values = hashed(pa.array(["[100,1k)", "", None, "nan", "9.0", "9"]))
    assert values.tolist()[1:4] == [-1, -1, -1]
    assert values[0] == 3981762660788410907
    assert values[4] == values[5] >= 0
