"""What a response's version and seq say about its weights can be had again."""

import pytest

from easq.as_served import as_served
from easq.state_digest import ServedWeights, StateDigest


def test_each_seq_gives_the_weights_that_the_trainer_had(online_run):
    run = online_run(4, average_steps=8)
    first, digests = run.save("v1")[0], {-1: run.digest()}
    for window in range(4):
        if window == 2:
            middle = run.save("v2")[0]
        seq = run.learn()
        digests[seq] = run.digest()
    assert served(first, run.log, digests) == digests
    late = {seq: digest for seq, digest in digests.items() if seq >= 1}
    assert served(middle, run.log, late) == late


def test_a_seq_that_the_log_has_not_is_told(online_run):
    run = online_run(1)
    version = run.save("v1")[0]
    run.learn()
    with pytest.raises(ValueError, match="the log ends with delta 0; a response names 5"):
        served(version, run.log, [5])


def served(version, log, seqs) -> dict[int, str]:
    return {
        seq: StateDigest(ServedWeights.of(ranker.weights())).digest
        for seq, ranker in as_served(version, log, seqs)
    }
