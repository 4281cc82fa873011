"""Which log this is: another one under the same address has another identity.

It stands in a topic of its own, is made by whoever asks first and is never trimmed.
"""

from uuid import uuid4

import pyarrow as pa

from easq.log.interface import IDENTITY, Log


def identity(log: Log) -> str:
    """The same for all processes. Raises LogError."""
    start = log.begin(IDENTITY, 0)
    while (first := log.read(IDENTITY, 0, start, max_rows=1)) is None:
        log.append(IDENTITY, 0, pa.table({"identity": [uuid4().hex]}))
    return first.table.column("identity")[0].as_py()
