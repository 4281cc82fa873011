"""Learns what arrives, and hangs at the third. Usage: hanging.py SECONDS"""

import sys
import threading
import time
from collections.abc import Iterator

from easq.train.vigil import watched


def arriving() -> Iterator[int]:
    for number in range(100):
        time.sleep(0.02)
        yield number


def train(seconds: float) -> None:
    for number in watched(arriving(), seconds):
        print(number, flush=True)
        if number == 2:
            threading.Event().wait()


if __name__ == "__main__":
    training = threading.Thread(target=train, args=(float(sys.argv[1]),))
    training.start()
    training.join()
