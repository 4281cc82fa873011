"""Freshness of a session: a client's ledger against the log."""

from pathlib import Path

from easq.events import ANSWER
from easq.freshness import Learnt, Place, Response, freshness, learnt, places
from easq.ledger import AcceptedLine, RankedLine, read_ledger
from easq.log.interface import MODELS, SAMPLES, Log
from easq.log.scan import scan


def answers_freshness(ledger: Path, log: Log) -> dict[str, float]:
    """Seconds from the acceptance of each answer to the first ranking that has used it, by id."""
    lines = list(read_ledger(ledger))
    accepted = {
        line.event_id: line.at_seconds
        for line in lines
        if isinstance(line, AcceptedLine) and line.event == ANSWER
    }
    responses = [Response(x.at_seconds, x.seq) for x in lines if isinstance(x, RankedLine)]
    return freshness(accepted, _places(log), _learnt(log), responses)


def _places(log: Log) -> dict[str, Place]:
    found: dict[str, Place] = {}
    for partition in range(log.partitions(SAMPLES)):
        for rows in scan(log, SAMPLES, partition):
            found |= places(partition, rows.offsets, rows.table)
    return found


def _learnt(log: Log) -> list[Learnt]:
    return [delta for rows in scan(log, MODELS, 0) for delta in learnt(rows.offsets, rows.table)]
