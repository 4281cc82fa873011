"""Salted buckets: stable, uniform, and anew with each salt."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from easq.experiment.assignment import BUCKETS, Arm, Experiment, bucket, load_experiment

USERS = np.arange(100_000)
PAPER = (Arm(name="control", share=0.051), Arm(name="treatment", share=0.051))


def experiment(salt: str = "s", arms: tuple[Arm, ...] = PAPER) -> Experiment:
    return Experiment(name="e", salt=salt, arms=arms)


def buckets(salt: str) -> np.ndarray:
    return np.array([bucket(salt, user) for user in USERS.tolist()])


def test_a_bucket_is_the_head_of_a_hash_of_salt_and_user():
    head = hashlib.sha256(b"s:7").hexdigest()[:16]
    assert bucket("s", 7) == int(head, 16) % 10_000


def test_users_fill_the_buckets_evenly():
    counts = np.bincount(buckets("s"), minlength=BUCKETS)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_another_salt_divides_the_same_users_independently():
    a, b = (buckets(salt) // (BUCKETS // 10) for salt in ("s", "t"))
    table = np.bincount(10 * a + b, minlength=100).reshape(10, 10)
    assert stats.contingency.chi2_contingency(table).pvalue > 1e-4


def test_arms_take_their_buckets_one_after_another():
    arms = experiment().arms_of(USERS)
    place = buckets("s")
    assert (arms == np.select([place < 510, place < 1020], [0, 1], -1)).all()
    assert np.bincount(arms + 1)[1:] / len(USERS) == pytest.approx([0.051, 0.051], abs=0.003)


def test_one_user_and_many_get_the_same_arm():
    many = experiment().arms_of(USERS[:500])
    one = [experiment().arm_of(user) for user in USERS[:500].tolist()]
    assert [arm and arm.name for arm in one] == [
        None if number < 0 else PAPER[number].name for number in many
    ]


def test_arms_may_take_all_users():
    halves = (Arm(name="a", share=0.5), Arm(name="b", share=0.5))
    assert set(experiment(arms=halves).arms_of(USERS).tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ((PAPER[0], PAPER[0]), "different names"),
        ((Arm(name="rest", share=0.1),), "none of them 'rest'"),
        ((Arm(name="a", share=0.00005),), "multiples of 0.0001"),
        (
            (Arm(name="a", share=0.1, model="m", models="x"), Arm(name="b", share=0.1, model="m")),
            "need the same `models`",
        ),
        ((Arm(name="a", share=0.6), Arm(name="b", share=0.6)), "exceed 1"),
    ],
)
def test_arms_that_cannot_be(arms, said):
    with pytest.raises(ValueError, match=said):
        experiment(arms=arms)


def test_a_file_with_a_mistake_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "experiment.toml"
    path.write_text('name = "e"\nsalt = "s"\n[[arms]]\nname = "a"\nshare = 2\n')
    with pytest.raises(ValueError, match=r"arms.0.share: .*less than or equal to 1"):
        load_experiment(path)
    path.write_text('name = "e"\nsalt = "s"\n[[arms]]\nname = "a"\nshare = 0.1\nmodels = "x"\n')
    with pytest.raises(ValueError, match="name its `model` too"):
        load_experiment(path)


def test_the_shipped_example_is_read():
    shipped = load_experiment(Path(__file__).parents[3] / "infra" / "serve" / "experiment.toml")
    assert [(arm.name, arm.buckets) for arm in shipped.arms] == [
        ("control", 510),
        ("treatment", 510),
    ]
