"""What one rule of a document is made of (see `rules.py`, which holds them all)."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct


class Rule(Struct, frozen=True):
    """One combination that cannot work.

    `on` is the path of what the rule looks at, which is `self` in CEL ("[]": each item of a list). `at` is the field within it that
    is to be mended, if it is one. `cel` is true where all is well, `broken` where it is not. `message` is said after the path and
    after what was found at it; it says what is allowed. Where `broken` is None, only an API server can tell; where `cel` is empty, it
    tells in words of its own, by the list's keys. `reads` is the type of what stands at `at` in a mapping that is open to anything: of
    such a mapping CEL sees only what the schema names.
    """

    name: str
    on: str
    cel: str
    message: str
    broken: Callable[[Any], bool] | None = None
    at: str = ""
    reads: type[Any] | None = None


def positive(field: str) -> str:
    """CEL for a duration that is left out or above zero."""
    return f"!has(self.{field}) || !self.{field}.matches('^0+[a-z]+$')"
