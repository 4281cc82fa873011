"""How simulated viewers are to behave towards a service."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ViewingPlan(BaseModel):
    """How many viewers come, for how long, and how fast they live."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: float = Field(gt=0)
    """How long requests are made; views that have begun are watched out."""
    rate: float | None = Field(default=20.0, gt=0)
    """Requests a second of all viewers; None: as many as they can."""
    viewers: int = Field(default=16, ge=1)
    """Requests under way at once, at most."""
    speed: float = Field(default=1000.0, gt=0)
    """Seconds watched in a second; the service must allow as much (EASQ_VIEWING_SPEED)."""
    time_shift_ms: int = 0
    """Added to the clock, for request times."""
    feedback: bool = True
    """Send events; without, only rankings are asked for."""
    timeout_seconds: float = Field(default=10.0, gt=0)
    patience_seconds: float = Field(default=60.0, gt=0)
    """How long an event is sent again until it is accepted, and views are watched out."""
    bucket_seconds: float = Field(default=5.0, gt=0)
    api_key: SecretStr | None = None
