"""Patterns of paths and keys, as DuckDB matches files: `*`, `?` and `[…]` within a folder, `**` over any number of folders."""

import re
from fnmatch import translate
from functools import cache

MAGIC = re.compile(r"[*?\[]")


def matches(pattern: str, path: str) -> bool:
    """Whether the pattern, which may be a plain path, matches the whole path."""
    return _matches(pattern.split("/"), path.split("/"))


def _matches(pattern: list[str], parts: list[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(pattern[1:], parts[skipped:]) for skipped in range(len(parts) + 1))
    return bool(parts) and _segment(pattern[0]).match(parts[0]) is not None and _matches(pattern[1:], parts[1:])


@cache
def _segment(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))
