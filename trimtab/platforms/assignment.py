"""Which callers get which version while they are assigned by a header's value: the same arithmetic for every Envoy. Pure.

Envoy hashes the value and takes the remainder by the sum of the weights: the first version has the remainders below its weight. So a
caller stays where it is while the weights do, whichever replica of Envoy is asked and whenever that started, and a larger share of the last
version only moves callers to it. The hash knows no salt, and with the same sum the same callers would be the first in every test. Here each
pair of versions has a prime of its own for the sum: the remainders of one hash by two different primes are independent (Chinese remainder
theorem).
"""

import hashlib
from collections.abc import Mapping
from itertools import count

from trimtab.spec import Model

ASSIGNED_HEADER = "x-trimtab-assigned"
"""What the gateway sets to the version where it chose that by the caller, and takes away from all others: who has it is in the test."""

_LEAST = 500_000
_SPAN = 400_000
"""The sums are primes from 500,000 to a little above 900,000: a weight of a Gateway API backend is at most 1,000,000."""


def assigned_weights(model: Model, percents: Mapping[str, int]) -> dict[str, int]:
    """The weights by version, in the same order, that stand for these percents; they differ from them by less than 0.0002%.

    The last version is the candidate: a test of another one has another sum.
    """
    names = "/".join((model.metadata.namespace, model.name, *percents))
    number = int.from_bytes(hashlib.sha256(names.encode()).digest()[:8])
    total = next(one for one in count(_LEAST + number % _SPAN) if _prime(one))
    first, *others = percents
    found = {version: round(total * percents[version] / 100) for version in others}
    return {first: total - sum(found.values()), **found}


def _prime(number: int) -> bool:
    return number % 2 == 1 and all(number % divisor for divisor in range(3, int(number**0.5) + 1, 2))
