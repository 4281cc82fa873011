"""The one line that is told of a failure."""

import pytest

from easq.train.failures import reason

OF_A_READ = """ray.data.exceptions.SystemException

Traceback (most recent call last):
  File "stream.py", line 113, in shares
ValueError: part-0.parquet is missing or truncated; import the data again.
Failed to apply UDF transform after 1/1 attempts (total backoff 0.0s).
To change retry attempts, configure `ray.data.DataContext`"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (OF_A_READ, "ValueError: part-0.parquet is missing or truncated; import the data again."),
        ("The actor died unexpectedly.\n\tname: x", "The actor died unexpectedly."),
        ("", "RuntimeError"),
    ],
)
def test_the_cause_is_told_and_the_rest_left_out(text, told):
    assert reason(RuntimeError(text)) == told
