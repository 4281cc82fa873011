"""What the trainer and the gate tell the replicas, and these the gate: the rows of topic `models`.

The offset of a delta is its sequence number.
"""

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

DELTA, ROLLOUT, VITALS = "delta", "rollout", "vitals"

ANNOUNCEMENT = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("made_at_ms", pa.int64(), nullable=False),
        pa.field(
            "body", pa.string(), nullable=False
        ),  # JSON: DeltaHead, Rollout or easq.vitals.Vitals
        pa.field("payload", pa.binary()),  # of a delta: safetensors
    ]
)


class DeltaHead(BaseModel):
    """What a delta brings: all that changed in windows [after_window, window)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    incarnation: int
    """Of the trainer's start; a replica follows the highest that it has met."""
    after_window: int
    """A replica that has learnt at least up to here, and not yet `window`, may apply it."""
    window: int
    """The first window not yet learnt."""
    learnt: dict[int, int] = Field(default_factory=dict)
    """Of each partition of topic `samples`: offsets below this one have been learnt."""
    schema_hash: str
    digest: str
    """Of the served weights after the delta (easq.state_digest)."""
    payload_sha256: str


class Rollout(BaseModel):
    """Which version replicas serve, until a later rollout says otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    """Target, in the registry."""
    previous: int | None
    """What replicas of other ranks keep."""
    ranks_below: int | None
    """Replicas of lower rank take the target; None: all do."""
    follow_deltas: bool = True
    """False after a rollback or a block: the lane stops until the next gated version."""
    reason: str
    stopped: str | None = None
    """Why replicas that keep `previous` go on without deltas; None: they follow them."""
    decided_on: int | None = None
    """Offset of the record that held when this one was decided, -1: none did. It holds after that
    one alone; None: whatever was there, as what a hand does."""
    repeats: int | None = None
    """Offset of the record that this one repeats: retention forgets rows, but not what holds."""
