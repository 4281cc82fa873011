"""Versions that were really trained: bad ones are blocked, good ones pass."""

from collections.abc import Iterator

import pytest
from conftest import Trained

