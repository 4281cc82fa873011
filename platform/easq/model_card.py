"""The model card: what a run learnt, from what, how well, with which limits, how to use it."""

from collections.abc import Mapping

import numpy as np

from easq.bootstrap import Difference
from easq.history import Description
from easq.plots import Curve, Curves
from easq.train.config import TrainConfig

REPORTED = {
    "behaviour/ndcg_10": "behaviour, NDCG@10",
    "behaviour/hr_1": "behaviour, HR@1",
    "behaviour/mrr": "behaviour, MRR",
    "behaviour/long_view_gauc": "behaviour, GAUC of long views",
    "satisfaction/ndcg_10": "satisfaction of ŷ, NDCG@10",
    "satisfaction/mrr": "satisfaction of ŷ, MRR",
    "satisfaction/pair_accuracy": "satisfaction of ŷ, pair accuracy",
    "satisfaction_path/ndcg_10": "satisfaction of ŝ, NDCG@10",
    "satisfaction_path/pair_accuracy": "satisfaction of ŝ, pair accuracy",
}


def model_card(
    config: TrainConfig,
    data: Description,
    curves: Curves,
    code: str,
    compared: Mapping[str, Difference] | None = None,
) -> str:
    """Markdown. `compared`: differences to a baseline with their 95 % intervals, by what of."""
    name = config.tracking.model_name if config.tracking else "easq-ranker"
    parts = [
        f"# {name}: {config.run.name}\n",
        _what(config, code),
        _data(data),
        _metrics(curves),
        _compared(compared or {}),
        _options(config),
        LIMITS + (SIMULATED if any(s.name == "simulation" for s in data.sources) else ""),
        _use(name),
    ]
    return "\n".join(part for part in parts if part)


def _what(config: TrainConfig, code: str) -> str:
    kind = {
        "easq": "EASQ: behaviour trains a backbone and its head, answers to questionnaires a "
        "low-rank path beside it, and online DPO pulls the served score ŷ towards satisfaction.",
        "emer": "EMER, the baseline that learns from behaviour alone.",
        "emer_s": "EMERs, the baseline that adds pairs of answers to EMER's loss.",
        "imputation": "The imputation network, a baseline: a satisfaction head shares EMER's "
        "backbone and weighs its behaviour pairs.",
        "saqrec": "SAQRec, a baseline: a frozen satisfaction model labels all candidates.",
        "classic_dpo": "EMER with DPO against a frozen reference, a baseline.",
    }
    return (
        "Ranks the candidates of a short-video request against each other.\n\n"
        f"{kind[config.model.method]}\n\nCode: {code}. Seed {config.run.seed}.\n"
    )


def _data(data: Description) -> str:
    days = f"{data.days[0].day} to {data.days[-1].day}" if data.days else "no days"
    answers = ", ".join(f"{count:,} {answer}" for answer, count in data.answers.items())
    rejected = ", ".join(f"{count:,} {reason}" for reason, count in data.rejected.items())
    sources = [
        f"| {s.name} | {s.rows:,} | {s.sha256[:16] or s.parameters[:80] or '-'} |"
        for s in data.sources
    ]
    return "\n".join(
        [
            "## Data\n",
            f"`{data.name}`, digest `{data.digest}`, {days}: {data.requests:,} requests, "
            f"{data.candidates:,} candidates; answers: {answers}. "
            f"Put aside on import: {rejected or 'nothing'}.\n",
            "| source | rows | sha256 or parameters |",
            "|---|---|---|",
            *sources,
            "",
        ]
    )


def _metrics(curves: Curves) -> str:
    rows = [
        f"| {says} | {_row(curves[name])} |" for name, says in REPORTED.items() if name in curves
    ]
    if not rows:
        return ""
    return "\n".join(
        [
            "## Metrics\n",
            "Each window was scored before it was learnt from. The range holds the middle 90 % "
            "of the windows; it is no confidence interval.\n",
            "| metric | mean | range | last window | windows |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _row(curve: Curve) -> str:
    low, high = np.percentile(curve.value, [5, 95])
    mean, last = curve.value.mean(), curve.value[-1]
    return f"{mean:.4f} | {low:.4f} to {high:.4f} | {last:.4f} | {len(curve.value)}"


def _compared(compared: Mapping[str, Difference]) -> str:
    if not compared:
        return ""
    rows = [f"| {n} | {d.mean:+.4f} | {d.low:+.4f} to {d.high:+.4f} |" for n, d in compared.items()]
    head = ["## Compared\n", "| difference | mean | 95 % interval |", "|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def _options(config: TrainConfig) -> str:
    model, loss, pairs = config.model, config.loss, config.pairs
    lora, steps = model.lora, config.published.average_steps
    budget = config.budget
    within = f", moved to lose {budget.behaviour_loss_percent:g} % of behaviour" if budget else ""
    options = {
        "method": model.method,
        "LoRA (Eq. 7)": f"{lora.site}, rank {lora.rank}, alpha {lora.alpha:g}" if lora else "none",
        "experts (Eqs. 9, 13)": f"K1 = {model.main.experts}, K2 = {model.satisfaction.experts}, "
        f"shared expert {'yes' if model.main.shared_expert else 'no'}",
        "main head reads (Eq. 9)": model.main_head_input,
        "lambda_1, lambda_2 (Eq. 17)": f"{loss.satisfaction:g}, {loss.alignment:g}",
        "offset gamma (not in the paper)": f"{loss.offset:g}{within}, L_satis trains embedding "
        f"rows {'yes' if model.satisfaction_updates_embeddings else 'no'}",
        "behaviour heads (not in the paper)": f"weight {loss.behaviours:g}"
        if loss.behaviours
        else "none",
        "beta, reference (Eq. 16)": f"{loss.beta:g}, {loss.reference} in {loss.space} space, "
        f"margin limit {loss.reference_margin_limit}",
        "pairs of answers (D+)": f"request {pairs.request_context:g}, user {pairs.user_window:g}, "
        f"across users {pairs.cross_user:g}, the same for L_DPO {pairs.cross_user_alignment:g}",
        "learning rates": f"{config.optim.learning_rate:g}, rows "
        f"{config.optim.rows_learning_rate:g}",
        "dense weights": "the newest" if steps == 1 else f"mean of about the last {steps} steps",
    }
    rows = [f"| {name} | {value} |" for name, value in options.items()]
    return "\n".join(["## Options\n", "| option | value |", "|---|---|", *rows, ""])


LIMITS = """## Limits

- Metrics are of exposed candidates in logged traffic, whose order another ranker chose; they do
  not say what viewers would have done with this one's. An A/B test does.
- Scores compare within one request only, never across requests or users.
- Ids are hashed: rare ones may share an embedding row. An unseen id scores by its first weights.
- Who answers a questionnaire is not a random viewer; no correction is made for it.
"""

SIMULATED = "- The viewers are simulated: nothing here is evidence about people.\n"


def _use(name: str) -> str:
    return f"""## Use

```python
import mlflow
mlflow.set_tracking_uri("…")
ranker = mlflow.pyfunc.load_model("models:/{name}@champion")
ranker.predict(requests)["scores"]  # a list a request; columns: ranker.metadata.signature
```
Nothing is unpickled; `MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false` is fine. The files in
artifacts/version are what `easq.artefact.load_ranker` reads.
"""
