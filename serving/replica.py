"""One replica of the ranking service: a live version, and what it answers.

A plain class; serving/app.py puts it behind HTTP and Ray Serve.
"""

import uuid
from collections.abc import Iterator

import numpy as np
import torch

from easq.features import Columns
from serving.admission import Admission
from serving.columns import durations, to_columns
from serving.config import ServingSettings
from serving.contract import LineReport, ModelReport, RankRequest, RankResponse
from serving.feedback import Feedback
from serving.lines import Followed, Lines
from serving.live import Live
from serving.ranked import Ranked, now_ms
from serving.refresh import Refresher
from serving.refusal import RefusedError
from serving.vitals import VitalSigns


class RankerReplica:
    """Ranks candidates by y-hat, the main pathway (EASQ §4.5), with the newest good version.

    Forward passes run in the event loop: a thread of their own costs each request two wake-ups
    and cold caches (DECISIONS.md, 38). A probe waits for the passes before it, 50 ms under load.
    """

    def __init__(
        self,
        settings: ServingSettings,
        refresher: Refresher,
        name: str,
        feedback: Feedback | None = None,
        lines: Lines | None = None,
    ) -> None:
        """`refresher` is of the service's own line; `lines` has it too, or there is no other."""
        torch.set_num_threads(settings.threads)
        self.settings, self.refresher, self.name = settings, refresher, name
        self.feedback = feedback
        self.admission = Admission(settings.queue_seconds)
        own = settings.model_name
        self.lines = lines or Lines(own, {own: Followed(refresher, VitalSigns(name, lambda: None))})

    def rank(self, request: RankRequest) -> Ranked:
        line = self.lines.of(request.user.get("user_id"))
        live = line.live()  # read once: a refresh cannot split a request
        time_ms = now_ms() if request.request_time_ms is None else request.request_time_ms
        columns = to_columns(request, live.expected, self.settings.max_candidates, time_ms)
        seconds = durations(request)
        with line.signs.scoring(live.version.version):
            scores = finite_scores(live, columns)
        best = best_first(scores, request.top_k)
        response = RankResponse(
            request_id=request.request_id or uuid.uuid4().hex,
            model=live.name,
            scenario=request.scenario,
            request_time_ms=time_ms,
            item_id=columns.item["item_id"][best].tolist(),
            score=scores[best].tolist(),
            asked=[False] * len(best),
            arm=line.arm,
        )
        return Ranked(response, live, columns, seconds, scores, best)

    def check_ready(self) -> None:
        """Raises RefusedError unless every line has a version that it can rank with."""
        self.lines.all_live()

    def model(self) -> ModelReport:
        live = self.refresher.live
        return ModelReport(
            live=live and live.report(self.settings.max_candidates),
            refresh=self.refresher.report,
            deltas=self.refresher.delta_report,
            replica=self.name,
            feedback=self.feedback and self.feedback.report(),
            refused=self.admission.refused,
            lines={name: self._report(r) for name, r in self._others()},
        )

    def _others(self) -> Iterator[tuple[str, Refresher]]:
        own = self.settings.model_name
        return ((n, line.refresher) for n, line in self.lines.followed.items() if n != own)

    def _report(self, refresher: Refresher) -> LineReport:
        live = refresher.live
        return LineReport(
            live=live and live.report(self.settings.max_candidates),
            refresh=refresher.report,
            deltas=refresher.delta_report,
        )


def finite_scores(live: Live, columns: Columns) -> np.ndarray:
    """y-hat, float32 [N]. Raises RefusedError where one is no number."""
    scores = live.ranker.score(columns)
    if not np.isfinite(scores).all():
        raise RefusedError(
            "internal",
            f"Version {live.version.version} gave scores that are not finite for this "
            "request; roll back to another version and report the request.",
        )
    return scores


def best_first(scores: np.ndarray, top_k: int | None) -> np.ndarray:
    """Positions by falling score; equal scores keep their order."""
    return np.argsort(-scores, kind="stable")[:top_k]
