"""y-hat + gamma s-hat at serving: the simplest use of a satisfaction pathway, without alignment.

Both scores are log-odds of being preferred, learnt by the same pairwise loss, so they add as they
are (DECISIONS.md, "blend").
"""

import numpy as np
from jaxtyping import Float


def blend(
    main: Float[np.ndarray, "candidate"], satisfaction: Float[np.ndarray, "candidate"], gamma: float
) -> Float[np.ndarray, "candidate"]:
    """Scores to rank by, of an EASQ run's two pathways; gamma = 0 is y-hat itself."""
    return main + gamma * satisfaction
