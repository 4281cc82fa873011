"""What kind of ranker to build. Options the paper leaves open are listed in DECISIONS.md."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class LoraConfig(BaseModel):
    """Low-rank path of the questionnaires (Eq. 7). The paper gives neither rank nor alpha."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    site: Literal["bypass", "input_proj", "qkv"] = "bypass"
    """bypass: h_LoRA = BAx beside the whole backbone, Eqs. 6-7 to the letter; input_proj and qkv:
    an update of the first projection or of the attention's, with everything behind it frozen."""
    rank: int = Field(default=8, ge=1)
    alpha: float = Field(default=8.0, gt=0)
    """The update is scaled by alpha / rank."""


class MoeConfig(BaseModel):
    """Mixture of experts of one pathway (Eqs. 9-10, 13-14)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    experts: int = Field(default=4, ge=1)
    hidden: int = Field(default=64, ge=1)
    shared_expert: bool = True
    """One more expert that no gate can switch off, so that a head never dies."""
    gate_bias: float = 1.0
    """Where every gate starts: open. Without a bias a fifth of random routers start fully shut."""
    positive: bool = False
    """Experts end in Softplus, for policies read as log of a score (Eq. 16 to the letter)."""


MethodName = Literal["easq", "emer", "emer_s", "imputation", "saqrec", "classic_dpo"]


class ModelConfig(BaseModel):
    """The EASQ ranker on its EMER backbone (Eqs. 6-14)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    method: MethodName = "easq"
    """easq, or a baseline of easq.baselines; what each adds to its ranker's training is there."""
    width: int = Field(default=128, ge=8)
    """d of Eq. 6."""
    heads: int = Field(default=4, ge=1)
    layers: int = Field(default=1, ge=1)
    l2_normalise: bool = True
    """Put h on the sphere of radius sqrt(d) (§5.1.4)."""
    lora: LoraConfig | None = LoraConfig()
    """None: the satisfaction pathway reads stop_grad(h) alone, the paper's "w/o LoRA"."""
    main: MoeConfig = MoeConfig()
    """K1 experts."""
    satisfaction: MoeConfig = MoeConfig(experts=2)
    """K2 experts; fewer than K1 is the paper's optimum (§5.5.2)."""
    main_head_input: Literal["h_main", "h"] = "h_main"
    """Eq. 9 prints h; the text feeds the fused embedding of Eq. 8."""
    satisfaction_updates_embeddings: bool = False
    """Let L_satis through x into the embedding rows."""
    behaviour_heads: bool = False
    """Predict each behaviour from x alone, so that rows tell behaviours apart, which L_main's one
    order does not: loss.behaviours trains heads and rows, nothing else. Not in the paper."""

    @model_validator(mode="after")
    def _check(self) -> "ModelConfig":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        return self
