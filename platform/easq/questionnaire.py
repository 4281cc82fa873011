"""When "Are you satisfied with this video?" may be asked (EASQ §4.2.3)."""

import numpy as np
from jaxtyping import Bool, Shaped

MIN_WATCHED_SECONDS = 7.0
MIN_PROGRESS = 0.5


def is_eligible(
    watched_seconds: Shaped[np.ndarray, "view"], duration_seconds: Shaped[np.ndarray, "view"]
) -> Bool[np.ndarray, "view"]:
    """Watched at least 7 s or at least half of the video; an unknown duration (0) needs 7 s."""
    half = (duration_seconds > 0) & (watched_seconds >= MIN_PROGRESS * duration_seconds)
    return (watched_seconds >= MIN_WATCHED_SECONDS) | half
