"""Who served when, by the records alone: held against what the simulated world really served at each moment."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.audit.lived import life, records
from tests.unit.control.world import START, Behaviour, World
from trimtab.audit.record import AuditRecord
from trimtab.audit.served import Approval, Served, course, served
from trimtab.control.intake import accept
from trimtab.release import Phase
from trimtab.spec import Champion, Version


def at(reason: str, number: int = -1) -> AuditRecord:
    """The record of that reason, the last one where there are several."""
    return [record for record in records() if record.reason == reason][number]


def shares(said: Served | None) -> dict[str, int]:
    assert said is not None
    return {share.version.version: share.weight for share in said.shares}


def test_before_the_first_record_nothing_is_known() -> None:
    assert served(records(), "m", records()[0].at - timedelta(seconds=1)) is None
    assert served(records(), "another", life().now) is None


def test_until_the_first_promotion_nothing_serves() -> None:
    said = served(records(), "m", at("Deployed", 0).at)
    assert said is not None
    assert said.shares == ()


def test_the_first_version_was_made_by_the_recipe_s_release() -> None:
    said = served(records(), "m", at("Promoted", 0).at)
    assert said is not None
    (share,) = said.shares
    crown = at("ChampionSwapped", 0)
    assert (share.version.version, share.weight, share.since, share.release) == ("1", 100, crown.at, crown.release)
    assert share.version.digest == f"{1:064d}"
    assert share.asked is not None
    assert (share.asked.trigger, share.asked.sentence) == ("recipe", "the first version")
    assert share.approval is None
    assert share.trained == crown.release
    assert share.data == f"rows-{crown.release_uid}"
    assert share.cut == share.asked.cut
    assert [records()[number - 1].sequence for number in share.records] == list(share.records)


def test_a_canary_shares_the_traffic_with_the_champion() -> None:
    step = next(record for record in records() if record.reason == "NextStep" and record.weight == 50)
    said = served(records(), "m", step.at + timedelta(milliseconds=1))
    assert shares(said) == {"1": 50, "2": 50}
    assert said is not None
    one, other = said.shares
    assert other.release == step.release != one.release
    assert other.asked is not None
    assert other.asked.trigger == "performance"
    assert other.asked.event, "the finding's own digest"


def test_who_approved_is_told() -> None:
    said = served(records(), "m", life().now)
    assert said is not None
    (share,) = said.shares
    assert share.version.version == "3"
    assert share.approval is not None
    assert (share.approval.by, share.approval.sentence) == ("ada", "ada asked to approve")
    assert share.approval.at < (share.since or START)
    assert said.note == ""


def test_a_bad_candidate_is_seen_only_while_it_served() -> None:
    bad = at("RolledBack") if any(record.reason == "RolledBack" for record in records()) else records()[-1]
    assert shares(served(records(), "m", bad.at)) == {"3": 100}
    begun = next(record for record in records() if record.release == bad.release and record.weight)
    assert shares(served(records(), "m", begun.at)) == {"3": 80, "4": 20}


def test_a_champion_that_came_back_after_harm_serves_again_and_is_told_of_its_own_release() -> None:
    world = World()
    world.declare()
    world.run()
    world.behaviours[("m", "2")] = Behaviour(loss=3.0)
    accept(world.finding(1), world.store)
    world.run()
    assert world.releases()[-1].status.phase is Phase.ROLLED_BACK
    chain = world.store.chain()
    back = next(
        record
        for record in chain
        if record.before.champion and record.champion and record.champion.version == "1" != record.before.champion.version
    )
    said = served(chain, "m", back.at)
    assert said is not None
    (share,) = said.shares
    assert (share.version.version, share.since, share.release) == ("1", back.at, world.releases()[0].name)
    assert share.asked is not None
    assert share.asked.trigger == "recipe"
    assert shares(served(chain, "m", back.at - timedelta(seconds=1))) == {"2": 100}


def test_a_model_made_anew_under_the_name_is_another_one() -> None:
    world = World()
    world.declare()
    world.run()
    gone = world.now
    world.tick()
    world.store.drop(world.model())
    world.declare()
    world.run(lambda: len(world.releases()) == 2 and world.releases()[-1].status.phase is Phase.TRAINING)
    assert shares(served(world.store.chain(), "m", gone)) == {"1": 100}
    assert shares(served(world.store.chain(), "m", world.now)) == {}


def test_a_champion_changed_by_hand_is_noted() -> None:
    kept = list(records())
    place = next(number for number, record in enumerate(kept) if record.reason == "NextStep")
    theirs = Champion("9", "e" * 64, 7)
    kept[place] = replace(kept[place], champion=theirs, before=replace(kept[place].before, champion=theirs))
    said = served(kept[: place + 1], "m", life().now)
    assert said is not None
    assert said.note == f"the champion went from 1 to 9 between records {place} and {place + 1}, by no decision"


def test_a_clock_that_was_an_hour_ahead_for_a_while_hides_no_decision_and_is_noted() -> None:
    swap = next(number for number, record in enumerate(records()) if record.reason == "ChampionSwapped" and record.sequence > 20)
    ahead = [replace(one, at=one.at + timedelta(hours=100)) if abs(one.sequence - swap) < 3 else one for one in records()]
    true, said = (served(kept, "m", records()[swap + 10].at) for kept in (records(), ahead))
    assert true is not None
    assert said is not None
    assert [(share.version, share.weight, share.release) for share in said.shares] == [
        (share.version, share.weight, share.release) for share in true.shares
    ]
    assert said.note.startswith(f"the clock was set back: record {swap - 2} is of ")


def test_a_release_that_vanished_in_its_canary_has_no_share_once_another_is_under_way() -> None:
    step = next(record for record in records() if record.reason == "NextStep" and record.weight == 50)
    left = [one for one in records() if one.release_uid != step.release_uid or one.sequence <= step.sequence]
    assert shares(served(left, "m", step.at)) == {"1": 50, "2": 50}
    assert shares(served(left, "m", at("Promoted", 2).at)) == {"3": 100}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([Behaviour(), Behaviour(errors=0.6), Behaviour(loss=3.0), Behaviour(starts=False)]), min_size=1, max_size=4)
)
def test_what_the_records_say_is_what_was_served(lives: list[Behaviour]) -> None:
    """Whatever becomes of each candidate: at every pass the records name the champion that the world had, and its candidate's weight."""
    world = World()
    world.declare()
    for number, behaviour in enumerate(lives):
        world.behaviours[("m", str(number + 2))] = behaviour
    world.run()
    for number in range(len(lives)):
        accept(world.finding(number + 1), world.store)
        for _ in range(400):
            world.step()
            said = shares(served(world.store.chain(), "m", world.now))
            model, release = world.model(), world.releases()[-1]
            champion, candidate = model.status.champion, release.status.candidate
            wanted = {champion.version: 100} if champion else {}
            if champion and candidate and candidate.version != champion.version and release.status.weight and not release.terminal:
                wanted = {champion.version: 100 - release.status.weight, candidate.version: release.status.weight}
            assert said == {version: weight for version, weight in wanted.items() if weight}, (release.status.reason, said)
            if world.quiet():
                break
            world.tick()


@pytest.mark.parametrize("step", range(0, 60, 7))
def test_later_records_never_change_what_is_said_of_the_past(step: int) -> None:
    moment = records()[step].at
    past = [record for record in records() if record.at <= moment]
    assert served(past, "m", moment) == served(records(), "m", moment)


def test_the_course_of_a_version_is_that_of_the_release_that_first_carried_it() -> None:
    swapped, approved = at("ChampionSwapped", 2), at("Approved")
    assert swapped.candidate is not None
    admitted = next(record for record in records() if record.release == swapped.release)
    for uid in (swapped.release_uid, ""):
        found = course(records(), swapped.candidate, uid)
        assert found is not None
        assert (found.release, found.asked, found.admitted) == (swapped.release, admitted.asked, admitted.at)
        assert found.approval == Approval("ada", approved.at, approved.sentence)
        assert found.promoted == swapped.at


def test_a_version_that_was_taken_back_before_it_was_champion_was_never_promoted() -> None:
    failed = at("CandidateReady")
    assert failed.candidate is not None
    found = course(records(), failed.candidate, failed.release_uid)
    assert found is not None
    assert (found.release, found.approval, found.promoted) == (failed.release, None, None)


def test_of_a_version_that_no_record_is_about_nothing_is_known() -> None:
    assert course(records(), Version("99", "none"), "") is None
    assert course([], Version("1", f"{1:064d}"), "uid") is None
