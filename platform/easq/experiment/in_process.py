"""The platform's loop without its processes: model lines that rank by arm and learn from all.

The fast twin of the test over HTTP. A line learns window after window from what all users did,
whoever ranked for them; only whom it ranks for differs.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch

from easq.encoding import encode
from easq.experiment.crowd import Served
from easq.experiment.days_before import DaysBefore, days_before
from easq.features import Columns
from easq.simulate.answers import QUESTIONNAIRES
from easq.simulate.columns import item_features, sample_table, user_features
from easq.simulate.seeds import SERVED, generator
from easq.simulate.simulation import Outcome, Scene, SimulationConfig, draw_surroundings
from easq.simulate.traffic import DAY_MS, SCENARIOS, Requests
from easq.simulate.upstream import places
from easq.simulate.world import World
from easq.train.learner import Learner
from easq.train.share import cut

REQUESTS_AT_ONCE = 1024


class LinesInProcess:
    """Learners that share a log. An `easq.experiment.crowd.Service`."""

    def __init__(
        self,
        config: SimulationConfig,
        lines: Sequence[Learner],
        line_of: np.ndarray,
        window: int = 1024,
        seed: int = 0,
    ) -> None:
        """What the lines are and for whom.

        Args:
            line_of: number of the line that ranks for each user, int [U].
            window: requests that are learnt at once; a line ranks with what it learnt before.
        """
        self.config, self.lines, self.line_of, self.window = config, lines, line_of, window
        self.world, self.upstream = draw_surroundings(config)
        self.rng = generator(config.seed, SERVED, seed)
        self._samples: list[pa.Table] = []
        self._windows = self._requests = 0

    def begin(self) -> DaysBefore:
        """Learn the days before, which the logging policy ranked."""
        return days_before(self.config, self.world, self.upstream, self.tell)

    def rank(self, requests: Requests, scene: Scene) -> Served:
        """By y-hat of each user's line."""
        item, request = scene.viewing.item, scene.candidates.request
        score, line = np.zeros(len(item)), self.line_of[requests.user]
        columns = columns_of(self.config, self.world, requests, scene)
        for number in np.unique(line).tolist():
            mine = line == number
            score[mine[request]] = scores(self.lines[number], of_requests(columns, mine))
        share = QUESTIONNAIRES[self.config.questionnaire].shown
        return Served(places(score, request), self.rng.random(len(item)) < share)

    def tell(self, requests: Requests, outcome: Outcome) -> None:
        """Keep what was done, and learn what fills a window."""
        self._samples.append(
            sample_table(self.config, self.world, requests, outcome, self._requests)
        )
        self._requests += len(requests.user)
        table = pa.concat_tables(self._samples)
        while table.num_rows >= self.window:
            self._learn(table.slice(0, self.window))
            table = table.slice(self.window)
        self._samples = [table]

    def _learn(self, rows: pa.Table) -> None:
        share = cut(rows, self._windows, self._windows + 1, "test", 0, 1)
        for learner in self.lines:
            learner.learn(share)
        self._windows += 1


def columns_of(config: SimulationConfig, world: World, requests: Requests, scene: Scene) -> Columns:
    """Requests as a model reads them."""
    item, request = scene.viewing.item, scene.candidates.request
    return Columns(
        {"user_id": requests.user, **user_features(world, requests.user)},
        {
            **item_features(world, item, requests.time_ms[request] / DAY_MS),
            **{f"upstream.{name}": values for name, values in scene.scores.items()},
        },
        [SCENARIOS[explore] for explore in requests.explore.astype(int).tolist()],
        config.traffic.start_ms + requests.time_ms,
        scene.candidates.lengths,
    )


def of_requests(columns: Columns, chosen: np.ndarray) -> Columns:
    """Some of the requests, bool [R], with their candidates."""
    candidates = np.repeat(chosen, columns.lengths)
    return Columns(
        {name: values[chosen] for name, values in columns.user.items()},
        {name: values[candidates] for name, values in columns.item.items()},
        [columns.scenario[row] for row in np.flatnonzero(chosen).tolist()],
        columns.time_ms[chosen],
        columns.lengths[chosen],
    )


@torch.inference_mode()
def scores(learner: Learner, columns: Columns) -> np.ndarray:
    """y-hat of each candidate, [N], some requests at a time."""
    parts = []
    for start in range(0, len(columns.lengths), REQUESTS_AT_ONCE):
        some = np.zeros(len(columns.lengths), bool)
        some[start : start + REQUESTS_AT_ONCE] = True
        inputs = encode(learner.spec, of_requests(columns, some))
        inputs = inputs.to(learner.device, learner.dtype)
        x = learner.state.tables.tokens(inputs)
        parts.append(learner.state.ranker.serve(x, inputs.slots).numpy())
    return np.concatenate(parts)
