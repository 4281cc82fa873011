"""The key that signs tokens: given, or made once and shared by the replicas of a machine."""

import os
import secrets
from pathlib import Path

from serving.config import ServingSettings

OTHERS = 0o077


def token_key(settings: ServingSettings) -> bytes:
    """EASQ_TOKEN_KEY, else what is in the key file, which is made if it is not there.

    Raises:
        ValueError: others may read the file, or it is no key.
    """
    if settings.token_key is not None:
        return settings.token_key.get_secret_value().encode()
    path = settings.token_key_file
    if not path.exists():
        _make(path)
    if path.stat().st_mode & OTHERS:
        raise ValueError(f"{path} signs tokens and others may read it: chmod 600, or remove it")
    key = path.read_text().strip()
    if not key:
        raise ValueError(f"{path} is empty: remove it, and a new key is made")
    return key.encode()


def _make(path: Path) -> None:
    """Whoever links first gives the key to all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    try:
        path.hardlink_to(own)
    except FileExistsError:
        pass
    finally:
        own.unlink()
