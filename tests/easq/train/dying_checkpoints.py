"""Writers of a run's second checkpoint that die, each one line of code later; run by the test.

Usage: dying_checkpoints.py HISTORY STORAGE    prints where the run could go on after each death
"""

import json
import os
import shutil
import signal
import sys
import threading
from types import FrameType
from typing import Any

import torch

from easq.history import History
from easq.train.checkpoint import Contents
from easq.train.checkpoints import Checkpoints, checkpoint_path, forget_old
from easq.train.config import parse_config
from easq.train.learner import Learner
from easq.train.resume import newest_sound
from easq.train.run_folder import Claim, claim, run_folder
from easq.train.share import share_of

KEEP = 2
PLACES = tuple(f"easq/{n}.py" for n in ("manifest", "train/durable", "train/latest"))
PLACES += tuple(f"easq/train/checkpoint{n}.py" for n in ("", "s"))
CHANGES_NOTHING = {"_sync", "read_model", "_contiguous", "kept_windows", "<dictcomp>", "<genexpr>"}


def write(own: Claim, contents: Contents) -> None:
    folder = run_folder(own.config)
    checkpoints = Checkpoints(folder, own, lambda at: None)
    checkpoints.begin(contents, lambda: forget_old(folder, KEEP))
    checkpoints.settle()


def die_at(line: int) -> None:
    """In the writer's thread, at a line of what changes the disk."""
    left = line

    def step(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        code = frame.f_code
        if not code.co_filename.endswith(PLACES) or code.co_name in CHANGES_NOTHING:
            return None
        left -= event == "line"
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return step

    threading.settrace(step)


def main(history: str, storage: str) -> None:
    torch.set_num_threads(1)
    os.fsync = lambda fd: None  # only a power cut needs it, and it takes most of the time
    data = History.open(history)
    tree = {
        "run": {"name": "run", "storage": storage},
        "data": {"history": history, "window": 24},
        "model": {"width": 16, "heads": 2},
    }
    config = parse_config(tree, "test")
    own, folder = claim(config, data.description), run_folder(config)
    learner = Learner(config, data.description.features, torch.device("cpu"))
    windows = data.windows(24)
    contents = []
    for window in windows:
        learner.learn(share_of(data.read(window), window, len(windows), 0, 1))
        contents.append(learner.contents())
        if window.index < KEEP:
            write(own, contents[-1])
    line, status, found = 0, 1, []
    while status != 0:
        line += 1
        shutil.rmtree(checkpoint_path(folder, len(windows)), ignore_errors=True)
        if (pid := os.fork()) == 0:
            die_at(line)
            write(own, contents[-1])
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        found.append(newest_sound(folder, own))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
