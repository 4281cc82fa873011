"""Arrow tables as bytes."""

import pyarrow as pa


def to_bytes(table: pa.Table) -> bytes:
    """A table as one Arrow IPC stream, its schema included."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def from_bytes(data: bytes) -> pa.Table:
    return pa.ipc.open_stream(data).read_all()
