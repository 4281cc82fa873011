"""What the baselines leave to choose."""

from pydantic import BaseModel, ConfigDict, Field


class ImputationConfig(BaseModel):
    """The imputation network; loss.satisfaction weighs its head."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kappa: float = Field(default=1.0, ge=0)
    """How far imputed satisfaction reweighs behaviour pairs; 0 leaves the auxiliary head alone."""


class SaqrecConfig(BaseModel):
    """SAQRec's satisfaction model; loss.satisfaction and loss.alignment weigh its labels."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    refresh_hours: float = Field(default=24.0, ge=0)
    """Event time between fits of the satisfaction model, frozen in between. 0: every window."""
    clip: float = Field(default=0.05, gt=0, le=1)
    """Least propensity, as a share of the mean, that an answered view is weighed by."""
    propensity_requests: int = Field(default=4096, ge=1)
    """So many of the newest requests teach the propensity model."""
    epochs: int = Field(default=20, ge=1)
    """At most; a fit stops once two epochs in a row did not help held-out views."""


class ClassicDpoConfig(BaseModel):
    """DPO with a frozen reference."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    warm_up_windows: int = Field(default=4, ge=0)
    """Windows learnt from behaviour alone before the reference is frozen."""
