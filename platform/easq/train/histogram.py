"""How the scores of a window are spread, small enough to log."""

import numpy as np

BINS = 60


def score_histogram(main: np.ndarray, satisfaction: np.ndarray | None) -> dict[str, dict]:
    """Counts of y-hat and s-hat [N] between their lowest and highest score, ready for JSON.

    {"main": {"edges": [BINS + 1 numbers], "counts": [BINS numbers]}, "satisfaction": ...};
    a pathway without scores is left out.
    """
    given = {"main": main, "satisfaction": satisfaction}
    return {name: _spread(scores) for name, scores in given.items() if _some(scores)}


def _some(scores: np.ndarray | None) -> bool:
    return scores is not None and len(scores) > 0


def _spread(scores: np.ndarray) -> dict[str, list]:
    counts, edges = np.histogram(scores[np.isfinite(scores)], bins=BINS)
    return {"edges": edges.tolist(), "counts": counts.tolist()}
