"""SAQRec's labels: by hand on two requests, and the clock of its satisfaction model."""

import math

import numpy as np
import pytest
import torch

from easq.baselines.saqrec import imputed_preference
from easq.encoding import Slots
from easq.train.config import parse_config
from easq.train.learner import Learner
from easq.train.share import share_of


def test_the_pairs_of_imputed_labels_by_hand():
    y = torch.tensor([1.0, 0.0, 5.0, 0.0, 0.0, 0.0])
    s = torch.tensor([0.9, 0.2, 0.7, 1.0, 0.0, 0.5])  # the lone third candidate has no pair
    slots = Slots.of(np.array([2, 1, 3]))
    first, back = 0.9 * 0.8, 0.2 * 0.1
    two = (first * math.log1p(math.exp(-1)) + back * math.log1p(math.e)) / (first + back)
    three = math.log(2)  # equal scores: whichever pairs weigh what
    assert imputed_preference(y, s, slots).item() == pytest.approx(two + three, abs=1e-6)


@pytest.mark.parametrize(("hours", "fits"), [(0.0, 3), (120 / 3600, 1), (24.0, 0)])
def test_the_satisfaction_model_is_renewed_by_event_time(make_history, hours, fits):
    history = make_history(240, answer_share=0.3)  # a request a second
    tree = {
        "run": {"name": "t", "storage": "t"},
        "data": {"history": str(history.root)},
        "model": {"width": 16, "method": "saqrec"},
        "saqrec": {"refresh_hours": hours, "epochs": 1},
    }
    features = history.description.features
    learner = Learner(parse_config(tree, "test"), features, torch.device("cpu"))
    windows = history.windows(60)
    for window in windows:
        learner.learn(share_of(history.read(window), window, len(windows), 0, 1))
    assert learner.state.teacher is not None
    assert learner.state.teacher.fits == fits  # type: ignore[attr-defined]
    assert learner.state.teacher.ready == (fits > 0)
