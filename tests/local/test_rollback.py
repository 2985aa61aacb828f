"""A rollback is a matter of seconds, and no caller's request fails by it. `make bench-rollback` measures the same ways more often."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.rollback import WAYS, page, running


@pytest.mark.timeout(600)
def test_nobody_is_refused_while_a_version_is_rolled_back(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    found = {}
    with running(tmp_path) as each:
        for way, measure in WAYS.items():
            found[way] = [measure(each)]
            each.settle()
    record_property("table", page(found))
    assert {way: one.failed for way, (one,) in found.items()} == dict.fromkeys(WAYS, 0)
    assert all(one.answers > 0 for (one,) in found.values())
