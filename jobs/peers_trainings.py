"""The trainings of `easq peers`: one after another on one thread, each kept as it finishes."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from rich.progress import Progress

from easq.events import Answer
from easq.history import History
from easq.peers.additive import Additive
from easq.peers.deepfm import DeepFm
from easq.peers.equal_behaviour import Rankings
from easq.peers.examples import Examples, Peer, prequential
from easq.peers.item_rate import ItemRate
from easq.peers.judge import Truth
from easq.peers.lightgbm import LightGbm
from easq.peers.rankers import RANKERS, key, ranked_by, train
from easq.study.code_version import DECIDES, code_version
from easq.study.methods import BASE, Method, Point
from easq.train.config import LossSection
from jobs.peers_report import CEILING, YARDSTICK, Scores

MAKERS: dict[str, tuple[Callable[[int], Peer], bool]] = {
    "item rate": (lambda seed: ItemRate(), False),
    "additive": (lambda seed: Additive(), False),
    "LightGBM": (LightGbm, True),
    "DeepFM": (DeepFm, True),
}
"""How each peer is made from a seed, and whether the seed changes anything."""

CODE = code_version((*DECIDES, "peers/*.py"))

Trained = dict[str, list[list[np.ndarray]]]
"""Scores [path, N] of a ranker's pathways, by method, point of its curve, and seed."""


def train_peers(history: History, truth: Truth, day: np.ndarray, out: Path, seeds: int) -> Scores:
    """Each peer taught what viewers did, and what they answered; and a ceiling."""
    examples = Examples.of(history.description.features, truth.flat)
    targets = {
        "long views": truth.flat.behaviours["long_view"],
        "answers": truth.flat.answer == Answer.SATISFIED,
    }
    with Progress() as progress:

        def scores(name: str, make: Callable[[], Peer], target: np.ndarray) -> np.ndarray:
            path = out / f"{name}-{history.description.digest[:12]}-{CODE}.npy"
            return _kept(path, progress, partial(prequential, make, examples, target, day))

        of_peers = {
            f"{name}, {taught}": [
                scores(f"{name}-{taught}-{seed}", partial(make, seed), target)
                for seed in range(seeds if is_random else 1)
            ]
            for name, (make, is_random) in MAKERS.items()
            for taught, target in targets.items()
        }
        return of_peers | {CEILING: [scores(CEILING, Additive, truth.liked)]}


def train_rankers(
    history: History, methods: Mapping[str, Method], out: Path, seeds: int
) -> Trained:
    """Every point of every method's curve, over the same days."""
    with Progress() as progress:
        return {
            name: [
                [_ranker(history, out, progress, point, seed) for seed in range(seeds)]
                for point in method.points()
            ]
            for name, method in methods.items()
        }


def _ranker(history: History, out: Path, progress: Progress, point: Point, seed: int) -> np.ndarray:
    path = out / f"{key(history, point, seed)}.npy"
    return _kept(path, progress, partial(train, history, point, seed))


def _kept(
    path: Path, progress: Progress, score: Callable[[Callable[[int, int], None]], np.ndarray]
) -> np.ndarray:
    """The scores of a method, taken from its file where an earlier start finished it."""
    if path.is_file():
        return np.load(path)
    task = progress.add_task(path.stem)
    scores = score(lambda done, days: progress.update(task, completed=done, total=days))
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_suffix(".building.npy")
    np.save(building, scores)
    building.replace(path)
    return scores


def rankings(trained: Trained, methods: Mapping[str, Method]) -> Rankings:
    """What every point of every curve ranks by."""
    return {
        name: [
            [ranked_by(method, point, paths) for paths in of_seeds]
            for point, of_seeds in zip(method.points(), trained[name], strict=True)
        ]
        for name, method in methods.items()
    }


def as_set(trained: Trained) -> Scores:
    """EASQ as it is set unless told otherwise, and EMER."""
    easq = trained["easq"][RANKERS["easq"].values.index(LossSection().alignment)]
    [emer] = trained[BASE]
    return {
        YARDSTICK: [paths[0] for paths in easq],
        "EASQ, satisfaction path": [paths[1] for paths in easq],
        "EMER": [paths[0] for paths in emer],
    }
