"""One replica of the ranking service: a live version, and what it answers.

A plain class; serving/app.py puts it behind HTTP and Ray Serve.
"""

import uuid

import numpy as np
import torch

from serving.columns import durations, to_columns
from serving.config import ServingSettings
from serving.contract import ModelReport, RankRequest, RankResponse
from serving.feedback import Feedback
from serving.live import Live
from serving.ranked import Ranked, now_ms
from serving.refresh import Refresher
from serving.refusal import RefusedError


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
    ) -> None:
        torch.set_num_threads(settings.threads)
        self.settings, self.refresher, self.name = settings, refresher, name
        self.feedback = feedback

    def rank(self, request: RankRequest) -> Ranked:
        live = self.live()  # read once: a refresh cannot split a request
        time_ms = now_ms() if request.request_time_ms is None else request.request_time_ms
        columns = to_columns(request, live.expected, self.settings.max_candidates, time_ms)
        seconds = durations(request)
        scores = live.ranker.score(columns)
        if not np.isfinite(scores).all():
            raise RefusedError(
                "internal",
                f"Version {live.version.version} gave scores that are not finite for this "
                "request; roll back to another version and report the request.",
            )
        best = best_first(scores, request.top_k)
        response = RankResponse(
            request_id=request.request_id or uuid.uuid4().hex,
            model=live.name,
            scenario=request.scenario,
            request_time_ms=time_ms,
            item_id=columns.item["item_id"][best].tolist(),
            score=scores[best].tolist(),
            asked=[False] * len(best),
        )
        return Ranked(response, live, columns, seconds, scores, best)

    def live(self) -> Live:
        """The live version. Raises RefusedError while there is none."""
        live = self.refresher.live
        if live is None:
            raise RefusedError(
                "no_model",
                f"No version of {self.settings.model_name!r} is being served yet: "
                f"{self.refresher.report.problem or 'the first one is being loaded'}. "
                "Publish one, or wait and ask again; GET /v1/model says what is going on.",
            )
        return live

    def model(self) -> ModelReport:
        live = self.refresher.live
        return ModelReport(
            live=live and live.report(self.settings.max_candidates),
            refresh=self.refresher.report,
            deltas=self.refresher.delta_report,
            replica=self.name,
            feedback=self.feedback and self.feedback.report(),
        )


def best_first(scores: np.ndarray, top_k: int | None) -> np.ndarray:
    """Positions by falling score; equal scores keep their order."""
    return np.argsort(-scores, kind="stable")[:top_k]
