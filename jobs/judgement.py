"""One candidate's way to a verdict: its weights at once, its scores when enough was seen."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from safetensors import SafetensorError
from safetensors.torch import load_file

from easq.artefact import ServedRanker, load_ranker
from easq.gate import (
    Exam,
    GateConfig,
    Scored,
    Verdict,
    behaviour_change,
    decide,
    is_enough,
    weights_problem,
)
from easq.gate_figures import WeightFacts, weight_facts
from easq.gate_samples import GateSamples
from easq.log.interface import Log
from easq.registry import Version, fetch
from easq.samples import flatten

SCORED_AT_ONCE = 512
"""Requests."""
GROWTH = 1.25
"""Versions are scored anew when so many times the requests have come."""


class Contestant:
    """A version with its files on this machine."""

    def __init__(self, uri: str, version: Version, cache: Path) -> None:
        files = fetch(uri, version, cache)
        self.version = version
        try:
            self.facts: WeightFacts = weight_facts(load_file(files / "ranker.safetensors"))
        except SafetensorError as error:
            raise ValueError(f"version {version.version} cannot be read: {error}") from error
        self.files, self._ranker = files, None

    @property
    def ranker(self) -> ServedRanker:
        """Raises ValueError for a version that must not be served."""
        self._ranker = self._ranker or load_ranker(self.files)
        return self._ranker

    def score(self, samples: pa.Table) -> np.ndarray:
        """Scores of all candidates, [N]."""
        parts = range(0, samples.num_rows, SCORED_AT_ONCE)
        scores = [
            self.ranker.score(flatten(samples.slice(s, SCORED_AT_ONCE)).columns) for s in parts
        ]
        return np.concatenate([np.zeros(0, np.float32), *scores])

    def scored(self, newest: pa.Table, answers: pa.Table) -> Scored:
        return Scored(self.version.version, self.score(newest), self.score(answers), self.facts)


class Judgement:
    """Asked again and again until there is a verdict."""

    def __init__(self, log: Log, uri: str, cache: Path, config: GateConfig) -> None:
        self.log, self.uri, self.cache, self.config = log, uri, cache, config
        self.contestants: dict[int, Contestant] = {}
        self.weighed = 0

    def begin(self, candidate: Version, learnt: dict[int, int]) -> None:
        """`learnt`: of each partition of `samples`, the first offset it cannot have learnt."""
        self.candidate, self.learnt = candidate, learnt
        self.samples: GateSamples | None = None

    def look(self, champion: Version | None, anchor: Version | None) -> Verdict | None:
        """The verdict, or None while more requests are waited for."""
        try:
            candidate = self._contestant(self.candidate)
            spec = candidate.ranker.spec
        except ValueError as error:
            return Verdict(outcome="blocked", reason=str(error))
        if champion is None or anchor is None:
            return self._of_the_first(candidate)
        others = {"champion": self._contestant(champion), "anchor": self._contestant(anchor)}
        for name, other in others.items():
            if (known := other.ranker.spec.schema_hash) != spec.schema_hash:
                return Verdict(outcome="blocked", reason=_unlike(spec.schema_hash, name, known))
        facts = {name: other.facts for name, other in others.items()}
        if (problem := weights_problem(self.config, candidate.facts, facts)) is not None:
            return Verdict(outcome="blocked", reason=problem)
        return self._of_samples(candidate, others["champion"], others["anchor"])

    def _of_the_first(self, candidate: Contestant) -> Verdict:
        if (problem := weights_problem(self.config, candidate.facts, {})) is not None:
            return Verdict(outcome="blocked", reason=problem)
        return Verdict(outcome="passed", reason="the first version: nothing to compare it with")

    def _of_samples(
        self, candidate: Contestant, champion: Contestant, anchor: Contestant
    ) -> Verdict | None:
        if self.samples is None:
            most, answers = self.config.max_requests, self.config.min_answers
            spec = candidate.ranker.spec
            self.samples = GateSamples(self.log, spec, self.learnt, answers, most)
        self.samples.take()
        requests = self.samples.newest.num_rows
        enough = max(self.config.min_requests, GROWTH * self.weighed)
        if requests < min(enough, self.config.max_requests):
            return None
        self.weighed = requests
        newest, answers = self.samples.newest, self.samples.answers
        three = [c.scored(newest, answers) for c in (candidate, champion, anchor)]
        exam = Exam(flatten(newest), flatten(answers))
        if not np.isfinite(three[0].newest).all():
            return decide(self.config, exam, *three)
        changes = [behaviour_change(exam.newest, three[0].newest, o.newest) for o in three[1:]]
        if not is_enough(self.config, requests, changes):
            return None
        verdict = decide(self.config, exam, *three)
        learnt = {"satisfaction.learnt_share": self.samples.learnt_share}
        return verdict.model_copy(update={"figures": verdict.figures | learnt})

    def _contestant(self, version: Version) -> Contestant:
        if version.version not in self.contestants:
            self.contestants[version.version] = Contestant(self.uri, version, self.cache)
        return self.contestants[version.version]


def _unlike(candidate: str, name: str, other: str) -> str:
    return (
        f"it reads the features {candidate} and the {name} {other}, so they cannot be judged on "
        "the same samples: serve it by hand with `easq rollback --to`, or pin another anchor"
    )
