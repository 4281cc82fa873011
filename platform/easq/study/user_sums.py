"""What was measured of each user: sums beside weights, so that users can be resampled."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

PARTS = ("validation", "test")
ALL = "all"
BEHAVIOUR, GAUC = "behaviour_ndcg_5", "long_view_gauc"
ANSWERS = tuple(f"answers_{name}" for name in ("ndcg_5", "ndcg_10", "hr_1", "hr_5", "hr_10", "mrr"))
"""The six columns of the paper's Table 1, in its order."""
FURTHER_ANSWERS = ("answers_ndcg_20",)
TRUTH, TOP_Z = "truth_ndcg_5", "truth_top_z"
TRUE_BEHAVIOUR, TOP_BEHAVIOUR = "true_behaviour_ndcg_5", "true_behaviour_top"
"""What viewers would have done with all candidates, shown or not, judged as TRUTH and TOP_Z are:
BEHAVIOUR knows of those only that another ranker showed."""
TOP_UNSEEN = "top_unseen"
"""Share of what would be shown that the log never showed, so that BEHAVIOUR cannot judge it."""
OF_THE_WORLD = (TRUTH, TOP_Z, TRUE_BEHAVIOUR, TOP_BEHAVIOUR, TOP_UNSEEN)
METRICS = (BEHAVIOUR, GAUC, *ANSWERS, *FURTHER_ANSWERS, *OF_THE_WORLD)


@dataclass(frozen=True, eq=False)
class UserSums:
    """A mean over users of whom none or some are drawn twice is a ratio of sums of this table."""

    rankings: tuple[str, ...]
    scenarios: tuple[str, ...]
    """`all` first."""
    users: np.ndarray
    """int [U], ascending."""
    table: np.ndarray
    """float [ranking, part, scenario, metric, 2, U]: sum and weight."""

    def select(self, ranking: str, part: str, scenario: str) -> np.ndarray:
        """[metric, 2, U]. Raises ValueError for a ranking or scenario that was not judged."""
        at = self.rankings.index(ranking), PARTS.index(part), self.scenarios.index(scenario)
        return self.table[at]

    def means(self) -> dict[str, dict[str, float]]:
        """Of the test days and all scenarios: {ranking: {metric: mean}}, where it has weight."""
        found = {}
        for ranking in self.rankings:
            totals = self.select(ranking, "test", ALL).sum(-1, dtype=np.float64)
            named = zip(METRICS, totals, strict=True)
            found[ranking] = {name: float(s / w) for name, (s, w) in named if w > 0}
        return found

    def write(self, path: Path) -> None:
        np.savez_compressed(
            path,
            rankings=np.array(self.rankings),
            scenarios=np.array(self.scenarios),
            users=self.users,
            table=self.table.astype(np.float32),
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        with np.load(path) as file:
            return cls(
                tuple(file["rankings"].tolist()),
                tuple(file["scenarios"].tolist()),
                file["users"],
                file["table"],
            )
