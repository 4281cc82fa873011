"""What makes viewers press: one row of log-odds a button, fitted to easq.simulate.calibration."""

from pydantic import BaseModel, ConfigDict


class Reaction(BaseModel):
    """Log-odds of one button: intercept + weights times tanh z, g and arousal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    intercept: float
    satisfaction: float
    attraction: float
    arousal: float
    effective: float
    """Added once the view is an effective one."""
    long: float
    """Added on top once it is a long one."""


REACTIONS = {
    name: Reaction(
        intercept=intercept,
        satisfaction=satisfaction,
        attraction=attraction,
        arousal=arousal,
        effective=effective,
        long=long,
    )
    for name, intercept, satisfaction, attraction, arousal, effective, long in (
        ("like", -7.88, 2.52, 0.2, 1.17, 2.65, -0.53),
        ("follow", -14.3, 3.08, 0.2, 2.41, 3.89, -0.87),
        ("comment", -12.33, 1.62, 0.3, 0.53, 4.34, 1.49),
        ("forward", -10.46, 1.3, 0.25, 0.93, 2.08, 0.64),
        ("profile_enter", -7.37, 0.6, 0.4, 1.0, 2.6, 0.3),
        ("hate", -11.87, -0.7, 0.0, 3.05, 0.04, -1.2),
    )
}
