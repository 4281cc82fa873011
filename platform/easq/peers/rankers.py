"""EMER, EASQ, the blend and what goes beyond the paper, as they are trained on a real log."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from easq.baselines.blend import blend
from easq.history import History, Window
from easq.study.beyond import BEYOND, SUBJECT
from easq.study.methods import BASE, GAMMA, METHODS, Method, Point
from easq.study.prequential import prequential
from easq.study.results import digest
from easq.train.config import TrainConfig, parse_config, put

RANKERS: dict[str, Method] = {
    BASE: METHODS[BASE],
    "easq": METHODS["easq_printed"]._replace(values=(2.0, 10.0, 50.0)),
    "blend": METHODS["blend"]._replace(values=(0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)),
    "rows_offset": BEYOND["rows_offset"]._replace(values=(0.1, 1.0, 5.0, 20.0)),
    SUBJECT: BEYOND[SUBJECT]._replace(values=(0.1, 1.0, 5.0, 20.0)),
}
"""Knobs go further than in simulated worlds: few answers leave s-hat little spread beside y-hat."""
RIVALS = ("easq", "blend", "rows_offset")
"""What the subject, which goes beyond the paper, is compared with."""


def config(history: History, point: Point, seed: int) -> TrainConfig:
    """Raises ValueError for settings that TrainConfig refuses."""
    tree: dict[str, Any] = {
        "run": {"name": "peers", "storage": ".", "seed": seed},
        "data": {"history": str(history.root), "window": "day"},
    }
    for key, value in point.settings.items():
        put(tree, key.split("."), value)
    return parse_config(tree, "easq peers")


def key(history: History, point: Point, seed: int) -> str:
    """Names a training by all that decides its scores: samples, settings, first weights, code."""
    decides = config(history, point, seed).model_dump(mode="json", exclude={"run", "data"})
    contents = {"history": history.description.digest, "config": decides}
    return f"{point.settings['model.method']}-{seed}-{digest(contents)}"


def train(
    history: History, point: Point, seed: int, told: Callable[[int, int], None]
) -> Float[np.ndarray, "path n"]:
    """y-hat, and s-hat where the method has one, of every candidate before its day was learnt."""
    days = len(history.description.days)

    def read(window: Window) -> pa.Table:
        told(window.index, days)
        return history.read(window)

    judged = prequential(config(history, point, seed), history, ["test"] * days, read)
    told(days, days)
    return np.stack([judged.main, *([] if judged.satisfaction is None else [judged.satisfaction])])


def ranked_by(
    method: Method, point: Point, paths: Float[np.ndarray, "path n"]
) -> Float[np.ndarray, "n"]:
    """The scores that a method ranks by at a point of its curve."""
    return blend(paths[0], paths[1], point.value) if method.knob == GAMMA else paths[0]
