"""The token in a ranking response: who was shown what, and when, under the service's signature.

version u8 | header | request id, UTF-8 | item ids i64 [n] | durations f32 [n] | asked, a bit each
| HMAC-SHA256 of all before. Little-endian; as text, base64url without padding.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from typing import NamedTuple

import numpy as np

VERSION = 1
HEADER = struct.Struct("<BHqqqqHH")
MAC_BYTES = hashlib.sha256().digest_size
MAX_ITEMS = 2**16 - 1


class TokenError(Exception):
    """Feedback with this token is refused."""


class MalformedTokenError(TokenError):
    """No token of this service has this form."""


class ForgedTokenError(TokenError):
    """The signature is not this service's."""


class ExpiredTokenError(TokenError):
    """It was good once."""


def key_of_log(key: bytes, identity: str) -> bytes:
    """A key for the tokens of one log: what stands at an offset of another is something else."""
    return hmac.digest(key, f"log {identity}".encode(), "sha256")


class FeedbackToken(NamedTuple):
    """What a ranking promises to remember; times are Unix milliseconds by the server's clock."""

    partition: int  # of topic `events`
    impression_offset: int
    user_id: int
    issued_at_ms: int
    expires_at_ms: int
    request_id: str
    item_id: np.ndarray  # int64 [n], as returned
    duration_seconds: np.ndarray  # float32 [n], 0: unknown
    asked: np.ndarray  # bool [n], the questionnaire may be shown


def sign(token: FeedbackToken, key: bytes) -> str:
    """The token as text: about 120 + 16 n characters."""
    request_id = token.request_id.encode()
    n = len(token.item_id)
    header = HEADER.pack(VERSION, *token[:5], len(request_id), n)
    items = token.item_id.astype("<i8").tobytes()
    durations = token.duration_seconds.astype("<f4").tobytes()
    asked = np.packbits(token.asked).tobytes()
    said = header + request_id + items + durations + asked
    return _as_text(said + _mac(said, key))


def read(text: str, key: bytes, now_ms: int) -> FeedbackToken:
    """The token that `sign` made with this key.

    Raises:
        MalformedTokenError, ForgedTokenError, ExpiredTokenError: a sentence each.
    """
    data = _from_text(text)
    said, mac = data[:-MAC_BYTES], data[-MAC_BYTES:]
    if not hmac.compare_digest(_mac(said, key), mac):
        raise ForgedTokenError(
            "The token's signature is not this service's, or of a log that was replaced: send the "
            "token as the ranking gave it; replicas on several machines need the same "
            "EASQ_TOKEN_KEY."
        )
    token = _unpack(said)
    if now_ms > token.expires_at_ms:
        seconds = (now_ms - token.expires_at_ms) / 1000
        raise ExpiredTokenError(
            f"The token expired {seconds:.0f} s ago: send feedback sooner, or raise "
            "EASQ_TOKEN_SECONDS."
        )
    return token


def _mac(said: bytes, key: bytes) -> bytes:
    return hmac.digest(key, said, "sha256")


def _as_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _from_text(text: str) -> bytes:
    """Only the one spelling that `_as_text` gives: base64 leaves bits of its last letter open."""
    try:
        data = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        data = b""
    is_token = len(data) >= HEADER.size + MAC_BYTES and _as_text(data) == text
    if not is_token or data[0] != VERSION:
        raise MalformedTokenError(
            f"Expected the token of a ranking response (version {VERSION}); "
            f"got {len(text)} characters that are none. Send it unchanged."
        )
    return data


def _unpack(said: bytes) -> FeedbackToken:
    """What is signed is ours, so its lengths agree."""
    _, partition, offset, user_id, issued, expires, id_bytes, n = HEADER.unpack_from(said)
    at = HEADER.size + id_bytes
    request_id = said[HEADER.size : at].decode()
    items = np.frombuffer(said, "<i8", n, at)
    durations = np.frombuffer(said, "<f4", n, at + 8 * n)
    bits = np.frombuffer(said, np.uint8, offset=at + 12 * n)
    asked = np.unpackbits(bits, count=n).astype(bool)
    return FeedbackToken(
        partition, offset, user_id, issued, expires, request_id, items, durations, asked
    )
