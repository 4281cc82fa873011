"""Learn a history window by window, keeping the scores that each had before it was learnt."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from easq.history import History, Window
from easq.samples import EVERY_SAMPLE
from easq.train.config import TrainConfig
from easq.train.learner import Learner
from easq.train.share import share_of

Read = Callable[[Window], pa.Table]


class Judged(NamedTuple):
    """The judged requests of a history, [R], and the scores of their candidates, [N]."""

    first_row: int  # of the history
    samples: pa.Table  # of features the upstream scores only
    part: list[str]  # of each request
    main: np.ndarray
    satisfaction: np.ndarray | None


def prequential(
    config: TrainConfig,
    history: History,
    parts: Sequence[str | None],
    read: Read | None = None,
) -> Judged:
    """Score and learn all windows; what lies in a day whose part is None is not judged.

    `read` gives a window's samples, the history's own unless told.
    """
    learner = Learner(config, history.description.features, torch.device("cpu"))
    part_of = dict(zip((d.day for d in history.description.days), parts, strict=True))
    size = None if config.data.window == "day" else config.data.window
    windows = history.windows(size)
    samples, part, main, satisfaction = [], [], [], []
    for window in windows:
        table = (read or history.read)(window)
        share = share_of(table, window, len(windows), 0, 1)
        if (of_window := part_of[window.day]) is not None:
            scores = learner.score(share)
            samples.append(table.select(_kept(table)))
            part += [of_window] * table.num_rows
            main.append(scores.main)
            satisfaction += [] if scores.satisfaction is None else [scores.satisfaction]
        learner.learn(share)
    return Judged(
        history.description.requests - len(part),
        pa.concat_tables(samples),
        part,
        np.concatenate(main),
        np.concatenate(satisfaction) if satisfaction else None,
    )


def _kept(table: pa.Table) -> list[str]:
    names = table.column_names
    return [n for n in names if n in EVERY_SAMPLE.names or n.startswith("upstream.")]
