"""Beyond the paper: what s-hat knows, brought into the served score for every pair.

*Rows*: L_satis also trains the embedding rows, of which the paper's LoRA path only reads what
behaviour has taught them; the backbone and the main experts stay out of its reach. *Offset*: L_main
is taken of y-hat - gamma s-hat, in L_DPO's place. *Heads*: each behaviour is predicted from the
rows by itself, so that they tell a like from a long view, which L_main's order does not, and s-hat
finds there what answers are too few to teach: how viewers like and leave a video and its author.

All of it lives in the weights that checkpoints hold. Compared are also SAQRec, whose teacher ranks
what was never shown, and the rankers that learn on answered pairs alone.
"""

from easq.study.compare_page import Question
from easq.study.methods import ALIGNMENT, BASE, GAMMA, METHODS, ROWS, Method
from easq.study.rankings import GAMMAS

OFFSET = "loss.offset"
OFFSETS = (0.1, 0.2, 0.35, 0.6)
LAMBDA_2 = (0.025, 0.05, 0.1, 0.2)
PAIRS = (0.1, 0.2, 0.35, 0.5, 0.8)
"""Values that cost from less than 1 % to more than 3 %, of what viewers would do with the videos
that would be shown too, of which rankings lose less than of what was logged."""
SUBJECT = "heads_offset"

_UNALIGNED = {"model.method": "easq", ALIGNMENT: 0.0}
_HEADS = {"model.behaviour_heads": True, "loss.behaviours": 1.0}

BEYOND: dict[str, Method] = {
    BASE: METHODS[BASE],
    "easq": METHODS["easq"]._replace(values=LAMBDA_2),
    "emer_s": METHODS["emer_s"]._replace(values=PAIRS),
    "saqrec": METHODS["saqrec"],
    "blend": METHODS["blend"],
    "rows_offset": Method("rows and offset", {**_UNALIGNED, **ROWS}, OFFSET, OFFSETS),
    "heads_blend": Method("rows and heads, blend", {**_UNALIGNED, **ROWS, **_HEADS}, GAMMA, GAMMAS),
    SUBJECT: Method("rows, heads and offset", {**_UNALIGNED, **ROWS, **_HEADS}, OFFSET, OFFSETS),
    "oracle": METHODS["oracle"],
}

QUESTION = Question(
    "Beyond the paper: more satisfaction at equal behaviour",
    "L_DPO moves the served score on answered pairs only, and s-hat reads embeddings that "
    "behaviour's one order has shaped. Does it help to let L_satis train the embedding rows too, "
    "to let them predict each behaviour, and to teach the served score what s-hat says about "
    "every pair? Compared with EASQ, with EMERs, whose answers train everything, with SAQRec and "
    "the blend y-hat + gamma s-hat where they cost the same behaviour: as logged, and as viewers "
    "would behave with all candidates.",
)
