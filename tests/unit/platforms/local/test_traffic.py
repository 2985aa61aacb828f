import os
import signal
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from tests.unit.platforms.local.upstreams import Upstream, ask
from trimtab.errors import Unavailable
from trimtab.evidence import LATENCY_MS
from trimtab.platforms.local.envoy import Envoy
from trimtab.platforms.local.processes import free_port
from trimtab.platforms.local.traffic import Cursor, EnvoyTraffic, advance
from trimtab.release import ArmCounts, Block
from trimtab.spec import Data, Metadata, Model, ModelSpec

MODEL = Model("trimtab.dev/v1alpha1", "Model", Metadata("bike"), ModelSpec(task="regression", data=Data(uri="x.csv", label="demand")))
START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = START + timedelta(seconds=5)


def cursor(stable=(0, 0, 0), new=(0, 0, 0), at=START, **changes):
    values = {"node": "n", "generation": "7", "champion": "3", "candidate": "4", "slow_ms": 250, "weight": 20, **changes}
    return Cursor(at=at, counts=(ArmCounts(*stable), ArmCounts(*new)), **values)


def test_the_counts_between_two_looks_are_one_block():
    blocks, after = advance(cursor((10, 1, 0), (5, 1, 1)), cursor((30, 2, 1), (9, 4, 1), LATER))
    assert blocks == [Block(20, START, LATER, ArmCounts(20, 1, 1), ArmCounts(4, 3, 0))]
    assert after.counts == (ArmCounts(30, 2, 1), ArmCounts(9, 4, 1))


def test_a_slow_answer_that_was_merged_late_counts_in_the_next_block_once():
    first, after = advance(cursor(), cursor((10, 0, 0), (1, 0, 3), LATER))
    assert first[0].candidate == ArmCounts(1, 0, 1)
    second, after = advance(after, cursor((10, 0, 0), (6, 0, 3), LATER))
    assert second[0].candidate == ArmCounts(5, 0, 2)
    third, _ = advance(after, cursor((10, 0, 0), (8, 0, 3), LATER))
    assert third[0].candidate == ArmCounts(2, 0, 0)


NO_BLOCK = [
    ("other weights", {"generation": "8", "weight": 50}, 22),
    ("weights that changed and changed back", {"generation": "9"}, 22),
    ("weights that changed while they were read", {"generation": ""}, 22),
    ("another Envoy", {"node": "m"}, 0),
    ("another candidate", {"candidate": "5"}, 0),
    ("another threshold", {"slow_ms": 500}, 22),
]


@pytest.mark.parametrize(("changes", "lost"), [case[1:] for case in NO_BLOCK], ids=[case[0] for case in NO_BLOCK])
def test_an_interval_that_mixes_is_no_block_and_is_counted(changes, lost):
    here = cursor((30, 2, 1), (7, 4, 1), LATER, **changes)
    blocks, after = advance(cursor((10, 1, 0), (5, 1, 1), lost=3), here)
    assert blocks == []
    assert after == msgspec.structs.replace(here, lost=3 + lost)


def test_counters_that_went_back_give_no_block():
    blocks, after = advance(cursor((10, 1, 0), (50, 1, 1)), cursor((30, 2, 1), (7, 4, 1), LATER))
    assert blocks == []
    assert after.counts[1] == ArmCounts(7, 4, 1)
    assert after.lost == 0


def test_no_request_is_no_block():
    assert advance(cursor((10, 1, 0)), cursor((10, 1, 0), at=LATER))[0] == []


@pytest.fixture
def envoy(tmp_path):
    envoy = Envoy(tmp_path, free_port(), timeout_seconds=1.0)
    envoy.start()
    yield envoy
    envoy.close()


@pytest.fixture
def versions():
    found = {version: Upstream() for version in ("3", "4")}
    yield found
    for upstream in found.values():
        upstream.close()


@pytest.fixture
def traffic(envoy, versions):
    envoy.publish_clusters({f"bike/{version}": upstream.port for version, upstream in versions.items()})
    envoy.publish_routes({"bike": {"3": 50, "4": 50}})
    return EnvoyTraffic(envoy)


def look(traffic, cursor):
    return traffic.arms(MODEL, "3", "4", 250, cursor)


def ask_until(port, version, count):
    """Ask until the version has answered `count` times; returns how often the other one answered."""
    others = 0
    while count:
        if ask(port)[1] == version:
            count -= 1
        else:
            others += 1
    return others


def test_errors_and_slow_answers_are_counted_by_version(envoy, versions, traffic):
    blocks, state = look(traffic, {})
    assert blocks == []
    champion = ask_until(envoy.port, "4", 5)
    versions["4"].status = 500
    champion += ask_until(envoy.port, "4", 3)
    versions["4"].status = 200
    versions["4"].delay = 0.5
    champion += ask_until(envoy.port, "4", 2)
    [block], state = look(traffic, msgspec.json.decode(msgspec.json.encode(state)))
    assert block.weight == 50
    assert replace(block.candidate, times=()) == ArmCounts(10, 3, 2)
    assert (sum(block.candidate.times), sum(block.candidate.times[LATENCY_MS.index(250) + 1 :])) == (10, 2)
    assert (block.champion.requests, block.champion.errors) == (champion, 0)
    versions["4"].delay = 1.5
    ask_until(envoy.port, "4", 1)
    [block], state = look(traffic, state)
    assert replace(block.candidate, times=()) == ArmCounts(1, 1, 1), "an answer that Envoy timed out is an error and slow"
    versions["4"].delay = 0.0
    ask_until(envoy.port, "4", 2)
    [block], state = look(traffic, state)
    assert replace(block.candidate, times=()) == ArmCounts(2, 0, 0)
    assert look(traffic, state)[0] == []


def test_a_version_that_nobody_serves_fails_on_its_own_account(envoy, versions, traffic):
    _, state = look(traffic, {})
    versions["4"].close()
    champion = ask_until(envoy.port, "4", 6)
    [block], _ = look(traffic, state)
    assert (block.candidate.requests, block.candidate.errors) == (6, 6)
    assert (block.champion.requests, block.champion.errors) == (champion, 0)


def test_a_change_of_weights_starts_a_new_block(envoy, traffic):
    _, state = look(traffic, {})
    ask_until(envoy.port, "4", 3)
    envoy.publish_routes({"bike": {"3": 20, "4": 80}})
    envoy.publish_routes({"bike": {"3": 50, "4": 50}})
    ask_until(envoy.port, "4", 3)
    blocks, state = look(traffic, state)
    assert blocks == []
    assert state["lost"] >= 6
    ask_until(envoy.port, "4", 2)
    [block], _ = look(traffic, state)
    assert (block.weight, block.candidate.requests) == (50, 2)


def test_an_envoy_that_starts_anew_never_gives_negative_or_double_counts(envoy, traffic):
    _, state = look(traffic, {})
    ask_until(envoy.port, "4", 8)
    [first], state = look(traffic, state)
    os.kill(envoy._process.pid, signal.SIGKILL)
    envoy._process.wait()
    with pytest.raises(Unavailable):
        look(traffic, state)
    envoy.tend()
    ask_until(envoy.port, "4", 12)
    blocks, state = look(traffic, state)
    assert blocks == []
    ask_until(envoy.port, "4", 4)
    [last], _ = look(traffic, state)
    assert (first.candidate.requests, last.candidate.requests) == (8, 4)
