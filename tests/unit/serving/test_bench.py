"""The serving bench works, and its load tells a failure from an answer."""

import re

import pytest

from tests.bench.serving import interval, main
from tests.bench.serving_load import ask
from tests.unit.serving.tiny import TinyMonitor


@pytest.mark.long
def test_a_quick_run_measures_every_server_and_what_capture_costs(capsys):
    assert main(["--quick"]) == 0
    printed = capsys.readouterr().out
    for server in ("trimtab ", "trimtab, capture", "fastapi"):
        assert len(re.findall(rf"{server} .*'rps': [1-9]", printed)) == 2, server
    assert int(re.search(r"bare socket server: (\d+) requests/s", printed)[1]) > 0
    assert re.search(r"capture costs [+-][\d.]+% of p99, V2 \[.*\], 3 pairs", printed)


async def _asked(port):
    return await ask(port, "/", b"[]", 2, 0.2)


def test_the_load_ends_at_a_failed_request():
    import asyncio

    monitor = TinyMonitor()
    try:
        with pytest.raises(SystemExit, match="401"):
            asyncio.run(_asked(monitor.port))
    finally:
        monitor.close()


INTERVALS = [
    ("of twenty-one the sixth and the sixteenth", list(range(1, 22)), (11, 6, 16)),
    ("of six the first and the last", [3.0, 1.0, 2.0, 6.0, 5.0, 4.0], (3.5, 1.0, 6.0)),
]


@pytest.mark.parametrize(("values", "expected"), [case[1:] for case in INTERVALS], ids=[case[0] for case in INTERVALS])
def test_the_interval_of_a_median_is_a_pair_of_order_statistics(values, expected):
    assert interval(values) == expected
