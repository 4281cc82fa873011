"""Independent streams of chance under one seed: each part of a simulation has its own."""

import numpy as np

WORLD, TRAFFIC, CHUNKS, LIVE_REQUESTS, LIVE_VIEWS, TALLY, ROOM, VISITS, SERVED = range(9)


def generator(seed: int, *stream: int) -> np.random.Generator:
    """The generator of one stream; the same arguments draw the same."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))
