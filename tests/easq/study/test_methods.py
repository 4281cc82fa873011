"""A comparison of a few methods only."""

import pytest

from easq.study.beyond import BEYOND, SUBJECT
from easq.study.methods import BASE, only


def test_named_methods_are_compared_with_the_subject_and_emer_in_the_order_of_the_whole():
    assert list(only(BEYOND, "blend,easq", SUBJECT)) == [BASE, "easq", "blend", SUBJECT]
    assert only(BEYOND, None, SUBJECT) == BEYOND


def test_a_method_that_is_not_there_is_named_beside_those_that_are():
    with pytest.raises(ValueError, match=r"no method is called esaq: there are emer, easq"):
        only(BEYOND, "esaq,blend", SUBJECT)
