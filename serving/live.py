"""What a replica answers from. A refresh replaces the whole of it; a delta moves its weights on."""

from typing import NamedTuple

import pyarrow as pa

from easq.artefact import ServedRanker
from easq.delta_chain import Chain
from easq.impression import logged_schema
from easq.registry import Version
from serving.columns import ExpectedRequest, expected_request, required_columns
from serving.contract import LiveModel, ModelName


class Live(NamedTuple):
    """A full version, and perhaps the deltas after it; `name` says which weights these are."""

    ranker: ServedRanker
    version: Version
    expected: ExpectedRequest
    impression: pa.Schema
    """Of what is logged of a request."""
    name: ModelName
    loaded_at_ms: int
    published: ServedRanker
    """The full version as it was published; `ranker` itself where no delta is applied."""
    chain: Chain | None = None
    """Writes the weights of `ranker`, in the event loop; None: no deltas."""

    @classmethod
    def of(cls, ranker: ServedRanker, version: Version, loaded_at_ms: int) -> "Live":
        name = ModelName(name=version.name, version=version.version)
        spec = ranker.spec
        read, logged = expected_request(spec), logged_schema(spec)
        return cls(ranker, version, read, logged, name, loaded_at_ms, ranker)

    def with_deltas(self, ranker: ServedRanker, chain: Chain) -> "Live":
        """This version, moved on by deltas: `ranker` has the weights of the chain."""
        return self._replace(ranker=ranker, chain=chain).at(chain.place.seq)

    def at(self, seq: int) -> "Live":
        return self._replace(name=self.name.model_copy(update={"seq": seq}))

    def as_published(self) -> "Live":
        """This version without deltas."""
        return self._replace(ranker=self.published, chain=None).at(-1)

    def report(self, max_candidates: int) -> LiveModel:
        place = self.chain and self.chain.place
        return LiveModel(
            name=self.version.name,
            version=self.version.version,
            seq=self.name.seq,
            window=place.window if place else self.ranker.file.position.next_window,
            digest=place.digest if place else None,
            learnt=dict(place.learnt) if place else {},
            run_id=self.version.run_id,
            schema_hash=self.ranker.spec.schema_hash,
            loaded_at_ms=self.loaded_at_ms,
            scenarios=list(self.ranker.spec.scenarios),
            columns=required_columns(self.expected),
            max_candidates=max_candidates,
        )


class OnAir:
    """The live version, and the full version before it, for a way back without loading."""

    def __init__(self) -> None:
        self.live: Live | None = None
        self.previous: Live | None = None

    def put(self, live: Live) -> None:
        """Swap; who reads `live` once sees one version."""
        former = self.live
        if former is not None and former.version != live.version:
            self.previous = former.as_published()
        self.live = live
