"""CUPED: a relative difference less what the groups' users were like before the test.

Deng, Xu, Kohavi and Walker, "Improving the Sensitivity of Online Controlled Experiments by
Utilizing Pre-Experiment Data", WSDM 2013. The covariate is the same metric before the test; of a
ratio metric it is what each user adds to the ratio (their appendix B), here to its logarithm, as in
`ratio_metrics`. Before the test no arm differs, so the covariate's mean is the same in both groups
but for chance: what is taken out is noise, and the difference that is looked for stays.
"""

import math

import numpy as np

from easq.experiment.ratio_metrics import (
    PerUser,
    RelativeDifference,
    influence,
    of_log,
    relative_difference,
    standard_error,
)


def adjusted_difference(
    treatment: PerUser, control: PerUser, treatment_before: PerUser, control_before: PerUser
) -> RelativeDifference:
    """The groups' relative difference with an interval, adjusted by the same users' past.

    Treatment and control are told as they are. A metric without a past is not adjusted.

    Raises ValueError when a group has fewer than two users or shapes differ.
    """
    plain = relative_difference(treatment, control)
    if math.isnan(plain.difference) or not _has_past(treatment_before, control_before):
        return plain
    groups = [influence(treatment), influence(control)]
    past = _covariates(treatment_before, control_before)
    theta = _theta(groups, past)
    shift = theta * (past[0].mean() - past[1].mean())
    rest = [of - theta * covariate for of, covariate in zip(groups, past, strict=True)]
    return of_log(treatment, control, plain.log_ratio - shift, standard_error(rest))


def _has_past(*groups: PerUser) -> bool:
    return all(sum(column.sum() for column in columns) > 0 for columns in zip(*groups, strict=True))


def _covariates(*groups: PerUser) -> list[np.ndarray]:
    """Of each group's users; relative to the users of all groups together."""
    pooled = PerUser(*(np.concatenate(columns) for columns in zip(*groups, strict=True)))
    return np.split(influence(pooled), np.cumsum([len(group.x) for group in groups])[:-1])


def _theta(groups: list[np.ndarray], past: list[np.ndarray]) -> float:
    """Of both groups, so that the variance of the difference is least (their Eq. 4)."""
    pairs = zip(groups, past, strict=True)
    matrix = np.sum([np.cov(of, covariate) / len(of) for of, covariate in pairs], axis=0)
    return float(matrix[0, 1] / matrix[1, 1]) if matrix[1, 1] > 0 else 0.0
