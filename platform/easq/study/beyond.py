"""Beyond the paper: what s-hat knows, brought into the served score for every pair.

Two changes, together and each alone. *Rows*: L_satis also trains the embedding rows, of which the
paper's LoRA path only reads what behaviour has taught them; the backbone and the main experts stay
out of its reach. *Offset*: L_main is taken of y-hat - gamma s-hat, in L_DPO's place.
"""

from easq.study.compare_page import Question
from easq.study.methods import ALIGNMENT, BASE, EASQ, GAMMA, METHODS, ROWS, Method
from easq.study.rankings import GAMMAS

OFFSET = "loss.offset"
OFFSETS = (0.1, 0.2, 0.3, 0.4)
LAMBDA_2 = (0.025, 0.05, 0.1)
SUBJECT = "rows_offset"

_UNALIGNED = {"model.method": "easq", ALIGNMENT: 0.0}

BEYOND: dict[str, Method] = {
    BASE: METHODS[BASE],
    "easq": METHODS["easq"],
    "easq_printed": METHODS["easq_printed"],
    "emer_s": METHODS["emer_s"],
    "saqrec": METHODS["saqrec"],
    "classic_dpo": METHODS["classic_dpo"],
    "blend": METHODS["blend"],
    "offset": Method("offset", _UNALIGNED, OFFSET, OFFSETS),
    "rows": Method("rows, DPO", {**EASQ, **ROWS}, ALIGNMENT, LAMBDA_2),
    "rows_blend": Method("rows, blend", {**_UNALIGNED, **ROWS}, GAMMA, GAMMAS),
    SUBJECT: Method("rows and offset", {**_UNALIGNED, **ROWS}, OFFSET, OFFSETS),
    "oracle": METHODS["oracle"],
}

QUESTION = Question(
    "Beyond the paper: more satisfaction at equal behaviour",
    "L_DPO moves the served score on answered pairs only, and s-hat reads embeddings that "
    "behaviour has shaped. Does it help to let L_satis train the embedding rows too, and to teach "
    "the served score what s-hat says about every pair? Compared with EASQ, with EMERs, whose "
    "answers train everything, with SAQRec, classic DPO and the blend y-hat + gamma s-hat where "
    "they cost the same behaviour.",
)
