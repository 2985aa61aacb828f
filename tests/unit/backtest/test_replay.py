"""Another policy over a store that a monitor really wrote, and the policy in force over the same."""

import json
from pathlib import Path

import pytest

from trimtab.cli.policy import replay_policy
from trimtab.errors import InvalidInput
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.state import State
from trimtab.spec import Drift, Performance, Retraining, Window

from .past import Past


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    return Past(tmp_path_factory.mktemp("past"))


def test_the_policy_in_force_gives_exactly_what_was_found_and_retrained(past: Past) -> None:
    found = past.under(past.model)
    assert len(past.made) > 1
    key = lambda one: (one.cut, one.window, one.kind)  # noqa: E731
    assert sorted((one.finding for one in found.told), key=key) == sorted(past.made, key=key)
    began = [one.finding.cut for one in found.told if one.retrain == "began"]
    assert began == [retrain.cut for retrain in past.lived.retrains]
    assert found.unmeasured == 0


def test_a_margin_that_nothing_passes_finds_no_performance(past: Past) -> None:
    found = past.under(past.changed(performance=Performance("x500")))
    assert "performance" in {one.kind for one in past.made}
    assert "performance" not in {one.finding.kind for one in found.told}


def test_a_floor_that_everything_is_past_finds_it_from_the_second_window_on(past: Past) -> None:
    found = past.under(past.changed(performance=Performance("x500", 0.01)))
    first = min(one.finding.window for one in found.told if one.finding.kind == "performance" and one.finding.version == "1")
    assert first == 1, "2 of 3 windows"


def test_a_smaller_effect_finds_no_less(past: Past) -> None:
    lax, strict = (past.under(past.changed(drift=Drift(effect=effect, persistence="1 of 1"))) for effect in (0.001, 100.0))
    moved = {one.finding.kind for one in strict.told} & {"covariate", "prediction"}
    assert not moved
    assert len(lax.told) >= len(strict.told)


def test_what_may_ask_for_nothing_retrains_nothing(past: Past) -> None:
    found = past.under(past.changed(retraining=Retraining(on=())))
    assert [one.finding for one in found.told] == [one.finding for one in past.under(past.model).told]
    assert found.retrains == 0


def test_a_longer_cooldown_retrains_less(past: Past) -> None:
    many, few = (past.under(past.changed(retraining=Retraining(cooldown=cooldown))) for cooldown in ("0s", "365d"))
    assert few.retrains <= 1 <= many.retrains


def test_the_command_tells_what_would_have_been_instead_of_what_was(past: Past, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = past.document(past.model, tmp_path / "same.json")
    replay_policy(document, "meter", past.state.folder, None, "", as_json=True)
    same = json.loads(capsys.readouterr().out)
    assert same["would"] == same["was"] == {"findings": len(past.made), "retrains": len(past.lived.retrains)}
    assert not same["gone"]
    assert not any(one["new"] for one in same["timeline"])
    other = past.document(past.changed(performance=Performance("x500"), window=Window(30)), tmp_path / "other.json")
    replay_policy(other, None, past.state.folder, None, "", as_json=False)
    told = capsys.readouterr().out
    assert f"instead of {len(past.made)} and {len(past.lived.retrains)}" in told
    assert "gone" in told
    assert "monitoring.window is another one" in told


def test_nothing_to_replay_is_a_sentence(past: Past, tmp_path: Path) -> None:
    state = State(tmp_path / "empty")
    state.prepare()
    SqliteObjects(state.database).create(past.model)
    document = past.document(past.model, tmp_path / "same.json")
    with pytest.raises(InvalidInput, match="has closed no window of 'meter' yet"):
        replay_policy(document, None, state.folder, None, "", as_json=False)
    with pytest.raises(InvalidInput, match="name it with --monitor"):
        replay_policy(document, None, state.folder, "crm", "", as_json=False)
    with pytest.raises(InvalidInput, match="there is no Model 'other'"):
        replay_policy(document, "other", past.state.folder, None, "", as_json=False)
