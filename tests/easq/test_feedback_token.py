"""A token says what was signed, and nothing else gets through."""

import base64

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easq.feedback_token import (
    ExpiredTokenError,
    FeedbackToken,
    ForgedTokenError,
    MalformedTokenError,
    TokenError,
    read,
    sign,
)

KEY = b"0123456789abcdef"
INT64 = st.integers(-(2**63), 2**63 - 1)
ITEM = st.tuples(INT64, st.floats(0, 1e6, width=32), st.booleans())


@st.composite
def tokens(draw):
    items = draw(st.lists(ITEM, max_size=40))
    ids, seconds, asked = zip(*items, strict=True) if items else ((), (), ())
    return FeedbackToken(
        draw(st.integers(0, 2**16 - 1)),
        draw(st.integers(0, 2**63 - 1)),
        draw(INT64),
        draw(st.integers(0, 2**53)),
        draw(st.integers(2**53, 2**54)),
        draw(st.text(min_size=1, max_size=128)),
        np.array(ids, np.int64),
        np.array(seconds, np.float32),
        np.array(asked, bool),
    )


@given(tokens())
@settings(max_examples=100, deadline=None)
def test_what_was_signed_is_read(token):
    back = read(sign(token, KEY), KEY, token.expires_at_ms)
    assert back[:6] == token[:6]
    for ours, theirs in zip(back[6:], token[6:], strict=True):
        assert np.array_equal(ours, theirs)


@given(tokens(), st.data())
@settings(max_examples=200, deadline=None)
def test_any_changed_byte_is_refused(token, data):
    signed = base64.urlsafe_b64decode((text := sign(token, KEY)) + "=" * (-len(text) % 4))
    at = data.draw(st.integers(0, len(signed) - 1))
    other = bytes([signed[at] ^ data.draw(st.integers(1, 255))])
    forged = signed[:at] + other + signed[at + 1 :]
    with pytest.raises((MalformedTokenError, ForgedTokenError)):
        read(base64.urlsafe_b64encode(forged).rstrip(b"=").decode(), KEY, token.issued_at_ms)


@given(tokens(), st.data())
@settings(max_examples=200, deadline=None)
def test_any_changed_letter_is_refused(token, data):
    text = sign(token, KEY)
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters().filter(lambda c: c != text[at]))
    with pytest.raises(TokenError):
        read(text[:at] + letter + text[at + 1 :], KEY, token.issued_at_ms)


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_other_text_is_refused(text):
    with pytest.raises(TokenError):
        read(text, KEY, 0)


TOKEN = FeedbackToken(
    1, 2, 3, 1000, 5000, "r", np.array([4]), np.array([9.5], np.float32), np.array([True])
)


def test_a_token_ends_with_its_last_millisecond():
    text = sign(TOKEN, KEY)
    assert read(text, KEY, 5000).request_id == "r"
    with pytest.raises(ExpiredTokenError, match="expired 2 s ago"):
        read(text, KEY, 7000)


def test_a_token_of_another_key_is_forged():
    with pytest.raises(ForgedTokenError):
        read(sign(TOKEN, b"another"), KEY, 0)


@pytest.mark.parametrize("cut", [1, 2, 4, 40])
def test_a_token_is_whole_or_nothing(cut):
    text = sign(TOKEN, KEY)
    for other in (text[:-cut], text[cut:], text + "A" * cut, text + "="):
        with pytest.raises((MalformedTokenError, ForgedTokenError)):
            read(other, KEY, 0)


def test_ten_items_take_few_letters():
    ten = TOKEN._replace(
        request_id="r" * 32,
        item_id=np.arange(10),
        duration_seconds=np.zeros(10, np.float32),
        asked=np.zeros(10, bool),
    )
    assert len(sign(ten, KEY)) < 320
