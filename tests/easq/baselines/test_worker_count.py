"""The weights of a baseline do not depend on the number of workers, or it refuses several."""

import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

WORKER = Path(__file__).with_name("worker.py")
METHODS = ["emer_s", "imputation", "classic_dpo"]


def test_two_workers_give_the_weights_of_one_and_saqrec_refuses(make_history, tmp_path):
    history = make_history(51, answer_share=0.3).root
    names = [*METHODS, "saqrec"]
    workers = [
        subprocess.Popen([sys.executable, WORKER, history, tmp_path, str(rank), "2", *names])
        for rank in range(2)
    ]
    assert [worker.wait(timeout=400) for worker in workers] == [0, 0]
    for method in METHODS:
        one, two = (load_file(tmp_path / f"{world}-{method}.safetensors") for world in (1, 2))
        for name, weight in one.items():
            torch.testing.assert_close(two[name], weight, rtol=0, atol=1e-9)
    assert "workers.num = 1" in (tmp_path / "2-saqrec.refused").read_text()
    assert (tmp_path / "1-saqrec.safetensors").exists()
