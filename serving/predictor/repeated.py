"""Objects that name a key twice: parsers differ in which value they take, so such a request has no one meaning and is refused.

The decoder keeps the last value and does not tell. Most requests are cleared by counting colons, which is a scan at memory speed.
"""

import json
import re
from typing import Any

from trimtab.errors import InvalidInput

_PAIR = re.compile(rb'"[ \t\r\n]*:')


def refuse(body: bytes, keys: int) -> None:
    """Raises InvalidInput where an object of `body`, which is JSON, has a key twice; `keys` is how many were decoded, or fewer.

    Each key has a colon of its own, right after its quote; a colon more than keys may be one inside of a text, a key that was
    not counted, or a key twice, and only then the body is parsed once more.
    """
    if body.count(b":") <= keys or len(_PAIR.findall(body)) <= keys:
        return
    try:
        json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        msg = f"the request's body is not JSON: {error}"
        raise InvalidInput(msg) from error


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) == len(pairs):
        return
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            msg = f"an object of the request has the key {name!r:.60} twice: each may be given once"
            raise InvalidInput(msg)
        seen.add(name)
