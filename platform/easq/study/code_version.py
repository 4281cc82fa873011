"""Which method a result was made with: a digest of the code that decides it."""

import ast
import hashlib
from functools import cache
from pathlib import Path

import easq

DECIDES = (
    "model/*.py",
    "baselines/*.py",
    "simulate/*.py",
    "study/judge.py",
    "study/prequential.py",
    "study/rankings.py",
    "study/user_sums.py",
    "train/batch.py",
    "train/collate.py",
    "train/learnable.py",
    "train/learner.py",
    "train/method*.py",
    "train/objective.py",
    "train/row_adam.py",
    "train/share.py",
    "train/step.py",
    "answer_memory.py",
    "encoding.py",
    "evaluate.py",
    "events.py",
    "features.py",
    "losses.py",
    "metrics.py",
    "pairs.py",
    "questionnaire.py",
    "samples.py",
)


@cache
def code_version(decides: tuple[str, ...] = DECIDES) -> str:
    """Changes with any statement of the files above, or of others; not with comments and layout."""
    root = Path(easq.__file__).parent
    files = sorted(path for pattern in decides for path in root.glob(pattern))
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(ast.dump(ast.parse(path.read_text())).encode())
    return digest.hexdigest()[:12]
