"""The weights that made a response: its full version, and the deltas up to the seq it names.

For whoever recomputes what was served: audits, and the tests of the refresh.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from easq.announcements import DELTA
from easq.artefact import ServedRanker, load_ranker
from easq.delta import read_head
from easq.delta_chain import Chain, Lineage
from easq.log.interface import MODELS, Log
from easq.log.scan import scan
from easq.state_digest import ServedWeights, StateDigest


def as_served(
    version: Path, models: Log, seqs: Iterable[int]
) -> Iterator[tuple[int, ServedRanker]]:
    """Each seq, rising, and the ranker that answered as (version, seq).

    The ranker is one, and moves on with the next seq. It knows no start of the trainer that
    makes deltas void, so the log must be of one start.

    Raises:
        ValueError: the log holds no such delta, or one that does not lead on from the version.
    """
    ranker = load_ranker(version).copy()
    weights = ServedWeights.of(ranker.weights())
    file = ranker.file
    chain = Chain(
        weights,
        StateDigest(weights),
        file.position.next_window,
        file.features.schema_hash,
        file.run,
    )
    deltas = _deltas(models)
    passed = -1
    for seq in sorted(set(seqs)):
        while passed < seq:
            if (found := next(deltas, None)) is None:
                raise ValueError(f"the log ends with delta {passed}; a response names {seq}")
            passed, body, payload = found
            step = chain.step(passed, read_head(body), payload, Lineage())
            if step is not None:
                chain.take(step)
        yield seq, ranker


def _deltas(models: Log) -> Iterator[tuple[int, str, bytes]]:
    for rows in scan(models, MODELS, 0):
        for seq, row in zip(rows.offsets.tolist(), rows.table.to_pylist(), strict=True):
            if row["kind"] == DELTA:
                yield seq, row["body"], row["payload"]
