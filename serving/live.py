"""The version that a replica answers from, immutable: a refresh replaces the whole of it."""

from typing import NamedTuple

from easq.artefact import ServedRanker
from easq.registry import Version
from serving.columns import ExpectedRequest, expected_request, required_columns
from serving.contract import LiveModel, ModelName


class Live(NamedTuple):
    ranker: ServedRanker
    version: Version
    expected: ExpectedRequest
    name: ModelName
    loaded_at_ms: int

    @classmethod
    def of(cls, ranker: ServedRanker, version: Version, loaded_at_ms: int) -> "Live":
        name = ModelName(name=version.name, version=version.version)
        return cls(ranker, version, expected_request(ranker.spec), name, loaded_at_ms)

    def report(self, max_candidates: int) -> LiveModel:
        return LiveModel(
            name=self.version.name,
            version=self.version.version,
            run_id=self.version.run_id,
            schema_hash=self.ranker.spec.schema_hash,
            loaded_at_ms=self.loaded_at_ms,
            scenarios=list(self.ranker.spec.scenarios),
            columns=required_columns(self.expected),
            max_candidates=max_candidates,
        )
