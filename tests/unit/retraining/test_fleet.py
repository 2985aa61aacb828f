"""The next step of a roll-out over a fleet: whose turn it is, when it halts, what people may say, what comes back."""

import pytest
from msgspec.structs import replace

from tests.unit.retraining.fleets import NEW, OLD, fleet, follower, look, rollout, trial, word
from trimtab.making import PipelineRef
from trimtab.pipeline_rollout import FALLEN, BadRelease, Counts, PipelineRollout, PipelineRolloutSpec, RolloutPhase, rollout_name
from trimtab.release import Phase, Release
from trimtab.retraining.fleet import Step, bound, reach
from trimtab.retraining.pipelines import overtaken
from trimtab.spec import Champion, Model, PipelineVersion, Version

TWENTY = fleet(20)


def after(of: PipelineRollout, *endings: Phase, models: list[Model] = TWENTY) -> tuple[PipelineRollout, list[Release]]:
    """The roll-out after so many Releases, in the order in which the Models have their turn, and those Releases."""
    releases: list[Release] = []
    for ending in endings:
        made = look(of, models, releases)
        of = replace(of, status=made.status)
        assert made.begin, f"{of.status.phase}: {of.status.sentence}"
        releases.append(trial(of, made.begin[0], ending))
    return of, releases


def following(of: PipelineRollout, *endings: Phase, models: list[Model] = TWENTY) -> Step:
    of, releases = after(of, *endings, models=models)
    return look(of, models, releases)


GOOD, BAD = Phase.PROMOTED, Phase.ROLLED_BACK
TURNS = [
    ("the first stage is one Model", (), 1, 1),
    ("while it is under way nobody else begins", (Phase.TRAINING,), 1, 0),
    ("one that only waits is under way too", (Phase.PENDING,), 1, 0),
    ("the second stage is a tenth", (GOOD,), 2, 1),
    ("the second stage waits for all of its own", (GOOD, Phase.BAKING), 2, 0),
    ("the third is all, three at a time", (GOOD, GOOD), 3, 3),
    ("one that goes on leaves room for two", (GOOD, GOOD, Phase.ROLLOUT), 3, 2),
    ("a bad one takes its place for good", (GOOD, GOOD, BAD), 3, 2),
    ("two bad ones leave room for one", (GOOD, GOOD, BAD, BAD), 3, 1),
    ("a bad one and one that goes on too", (GOOD, GOOD, BAD, Phase.ROLLOUT), 3, 1),
    ("a bad one in the second stage leaves it ended", (GOOD, BAD), 3, 2),
    ("without effect another one has its turn in the same stage", (Phase.INCONCLUSIVE,), 1, 1),
    ("one that was withdrawn shows nothing either", (Phase.SUPERSEDED, Phase.CANCELLED, Phase.REFUSED), 1, 1),
]


@pytest.mark.parametrize(("endings", "stage", "begin"), [case[1:] for case in TURNS], ids=[case[0] for case in TURNS])
def test_whose_turn_it_is(endings: tuple[Phase, ...], stage: int, begin: int) -> None:
    made = following(rollout(), *endings)
    assert made.status.phase is RolloutPhase.PROGRESSING
    assert (made.status.stage, len(made.begin)) == (stage, begin)


@pytest.mark.parametrize("ending", [Phase.REJECTED, Phase.ROLLED_BACK, Phase.FAILED])
def test_a_bad_one_in_the_first_stage_halts_it(ending: Phase) -> None:
    made = following(rollout(), ending)
    assert (made.status.phase, made.status.reason, made.begin) == (RolloutPhase.HALTED, "TooManyBad", ())
    assert made.status.bad == (BadRelease(made.status.bad[0].release, made.status.bad[0].model, ending, "it ended so"),)


def test_the_third_bad_one_of_twenty_halts_it() -> None:
    made = following(rollout(), GOOD, GOOD, BAD, BAD, BAD)
    assert made.status.phase is RolloutPhase.HALTED
    assert made.status.sentence.startswith("3 of 20 Models had a Release of churn 1.4.0 that ended badly, at most 3 may; ")
    assert made.status.counts == Counts(models=20, done=2, bad=3, waiting=15)


def test_a_bad_one_whose_release_was_deleted_is_bad_all_the_same() -> None:
    of, releases = after(rollout(), GOOD, GOOD, BAD)
    of = replace(of, status=look(of, TWENTY, releases).status)
    made = look(of, TWENTY, releases[:2])
    assert made.status.counts.bad == 1
    assert len(made.begin) == 2
    assert releases[2].spec.model not in {model.name for model in made.begin}


def promoted(of: PipelineRollout, model: Model, *, generation: int) -> tuple[Release, Model]:
    """A trial that was promoted over the Model's champion, and the Model with an old champion of that generation."""
    assert model.status.champion
    release = trial(of, model, GOOD)
    release = replace(release, status=replace(release.status, compared_with=model.status.champion))
    return release, replace(model, status=replace(model.status, champion=replace(model.status.champion, generation=generation)))


def test_what_was_promoted_and_taken_back_since_is_bad() -> None:
    of = rollout()
    (first,) = look(of, TWENTY).begin
    release, back = promoted(of, first, generation=4)
    made = look(of, [back if one is first else one for one in TWENTY], [release])
    assert (made.status.phase, made.begin) == (RolloutPhase.HALTED, ())
    assert made.status.counts == Counts(models=20, bad=1, waiting=19)
    assert made.status.sentence.endswith(
        f"{release.name} ended as Promoted: its version was taken back since: version 2, which churn 1.3.0 made, is the champion"
    )
    of = replace(of, status=made.status)
    again = replace(back, status=replace(back.status, champion=Champion("3", "e" * 64, 5, pipeline=NEW)))
    assert look(of, [again if one is first else one for one in TWENTY], [release]).status.counts.done == 1, "a person brought it again"


def test_a_champion_that_was_read_before_it_was_swapped_is_none_that_was_taken_back() -> None:
    of = rollout()
    (first,) = look(of, TWENTY).begin
    release, stale = promoted(of, first, generation=2)
    made = look(of, [stale if one is first else one for one in TWENTY], [release])
    assert (made.status.phase, made.status.stage, made.status.counts.bad) == (RolloutPhase.PROGRESSING, 2, 0)


def test_what_its_own_revert_took_back_is_not_bad() -> None:
    of = rollout(RolloutPhase.REVERTING)
    release, back = promoted(of, follower("m0"), generation=4)
    made = look(of, [back], [release, trial(of, back, GOOD, back=True)])
    assert (made.status.phase, made.status.counts.bad, made.status.counts.done) == (RolloutPhase.REVERTED, 0, 1)


FOREIGN = [
    ("a person's", {"trigger": "person", "by": "eve"}),
    ("one without a pipeline", {"pipeline": None}),
    ("one of another version", {"pipeline": OLD}),
    ("one of other content", {"pipeline": replace(NEW, digest="e" * 64)}),
    ("the way back without a version", {"id": "uid-r/uid-m/back"}),
    ("a version that is not the way back", {"version": Version("1", "d" * 64)}),
    ("another Model's", {"id": "uid-r/uid-other"}),
    ("another roll-out's", {"source": "/pipelinerollouts/default/other"}),
]


@pytest.mark.parametrize("said", [case[1] for case in FOREIGN], ids=[case[0] for case in FOREIGN])
def test_only_what_it_asked_for_counts(said: dict[str, object]) -> None:
    of, model = rollout(), follower()
    own = trial(of, model, GOOD)
    assert look(of, [model], [own]).status.counts.done == 1
    foreign = replace(own, spec=replace(own.spec, request=replace(own.spec.request, **said)))
    made = look(of, [model], [foreign])
    assert (made.status.counts.done, made.begin) == (0, (model,))


def test_of_few_models_one_at_a_time() -> None:
    models = fleet(3)
    assert len(following(rollout(), GOOD, models=models).begin) == 1
    assert following(rollout(), GOOD, BAD, models=models).status.phase is RolloutPhase.HALTED


SHARES = [(0.1, 1, 1), (0.1, 9, 1), (0.1, 10, 2), (0.1, 20, 3), (0.1, 30, 4), (0.29, 100, 30), (0.0, 500, 1), (1.0, 4, 5)]


@pytest.mark.parametrize(("share", "models", "most"), SHARES)
def test_how_many_may_be_bad(share: float, models: int, most: int) -> None:
    assert bound(PipelineRolloutSpec(NEW, "stable", share), models) == most


@pytest.mark.parametrize(("models", "reached"), [(1, (1, 1, 1)), (10, (1, 1, 10)), (11, (1, 2, 11)), (30, (1, 3, 30)), (100, (1, 10, 100))])
def test_how_many_a_stage_reaches(models: int, reached: tuple[int, ...]) -> None:
    assert tuple(reach(PipelineRolloutSpec(NEW, "stable"), stage, models) for stage in (1, 2, 3)) == reached


def test_it_is_complete_when_all_had_their_turn_and_goes_on_where_one_joins() -> None:
    models = fleet(2)
    made = following(rollout(), GOOD, GOOD, models=models)
    assert (made.status.phase, made.status.sentence) == (RolloutPhase.COMPLETE, "every Model had its turn: 2 of 2 have churn 1.4.0")
    of, releases = after(rollout(), GOOD, GOOD, models=models)
    of = replace(of, status=made.status)
    assert look(of, models, releases).status == made.status, "at rest nothing is written"
    later = look(of, [*models, follower("late")], releases)
    assert (later.status.phase, [model.name for model in later.begin]) == (RolloutPhase.PROGRESSING, ["late"])
    assert look(of, [*models, follower("late")], releases, newer=True).begin == (), "the newer version is on its way to it"


def test_what_is_counted_is_what_follows_the_channel_now() -> None:
    others = [
        follower("no-champion", None),
        follower("by-number", OLD, PipelineRef("churn", "1.3.0")),
        follower("latest", OLD, PipelineRef("churn", channel="latest")),
        follower("other", PipelineVersion("fraud", "1.0.0")),
        follower("has-it", NEW),
    ]
    made = look(rollout(), [*fleet(2), *others])
    assert made.status.counts == Counts(models=3, done=1, in_flight=1, waiting=1)


def test_the_edited_spec_is_the_one_that_was_looked_at() -> None:
    of = rollout()
    edited = replace(of, metadata=replace(of.metadata, generation=2), spec=replace(of.spec, max_bad=0.0))
    of, releases = after(edited, GOOD, GOOD)
    made = look(of, TWENTY, releases)
    assert (made.status.observed_generation, len(made.begin)) == (2, 1)


def test_a_newer_version_supersedes_what_goes_on_and_not_what_was_halted() -> None:
    assert look(rollout(), TWENTY, newer=True).status.phase is RolloutPhase.SUPERSEDED
    assert look(rollout(RolloutPhase.HALTED), TWENTY, newer=True).status.phase is RolloutPhase.HALTED


def test_what_was_superseded_goes_on_once_the_newer_version_has_fallen() -> None:
    of = rollout(RolloutPhase.SUPERSEDED, stage=3)
    newer = rollout(pipeline=PipelineVersion("churn", "1.5.0", "c" * 64), uid="uid-newer")
    for phase in set(RolloutPhase) - FALLEN:
        going = [of, replace(newer, status=replace(newer.status, phase=phase))]
        assert look(of, TWENTY, newer=overtaken(of, going)).status == replace(
            of.status, counts=Counts(20, waiting=20), observed_generation=1
        )
    for phase in FALLEN:
        made = look(of, TWENTY, newer=overtaken(of, [of, replace(newer, status=replace(newer.status, phase=phase))]))
        assert (made.status.phase, made.status.stage, len(made.begin)) == (RolloutPhase.PROGRESSING, 3, 3), phase


# --- people ---


def test_a_halt_is_obeyed_once_and_kept_with_who_and_why() -> None:
    of = rollout()
    said = word("halt", of)
    made = look(of, TWENTY, (), said)
    assert (made.status.phase, made.status.reason, made.begin) == (RolloutPhase.HALTED, "HaltedByPerson", ())
    assert made.status.hand
    assert (made.status.hand.user, made.status.hand.sentence) == ("ada", "ada asked to halt: seen")
    resumed = replace(of, status=replace(made.status, phase=RolloutPhase.PROGRESSING))
    assert look(resumed, TWENTY, (), said).status.phase is RolloutPhase.PROGRESSING, "it was heard"


def test_a_resume_forgives_what_was_bad_and_counts_anew() -> None:
    of, releases = after(rollout(), BAD)
    of = replace(of, status=look(of, TWENTY, releases).status)
    made = look(of, TWENTY, releases, word("resume", of))
    assert (made.status.phase, made.status.stage, len(made.begin)) == (RolloutPhase.PROGRESSING, 1, 1), "the stage has yet to end well"
    assert made.status.forgiven == (releases[0].name,)
    assert (made.status.counts.bad, made.status.counts.forgiven) == (0, 1)
    of = replace(of, status=made.status)
    again = look(of, TWENTY, [*releases, trial(of, made.begin[0], BAD)])
    assert again.status.phase is RolloutPhase.HALTED
    assert again.status.counts.bad == 1


REFUSED = [
    ("halt", RolloutPhase.HALTED, "is Halted; only what is Progressing can be halted"),
    ("halt", RolloutPhase.COMPLETE, "is Complete; only what is Progressing can be halted"),
    ("resume", RolloutPhase.PROGRESSING, "is Progressing; only what is Halted can be resumed"),
    ("revert", RolloutPhase.REVERTED, "is Reverted already"),
]


@pytest.mark.parametrize(("action", "phase", "why"), REFUSED)
def test_a_word_that_can_change_nothing_is_refused_and_heard(action: str, phase: RolloutPhase, why: str) -> None:
    of = rollout(phase)
    made = look(of, [follower(made=OLD if phase is RolloutPhase.PROGRESSING else NEW)], (), word(action, of))
    assert made.status.phase is phase
    assert (made.status.reason, list(made.status.heard)) == ("ActionRefused", ["w1"])
    assert why in made.status.sentence


def test_words_are_heard_in_their_order() -> None:
    of = rollout()
    made = look(of, TWENTY, (), word("halt", of, "w1"), word("resume", of, "w2"), word("halt", of, "w3"))
    assert made.status.phase is RolloutPhase.HALTED
    assert set(made.status.heard) == {"w1", "w2", "w3"}


def test_a_revert_brings_back_what_another_version_made_before_and_ends_when_all_is_back() -> None:
    models = [follower("a", NEW, previous=OLD), follower("b", NEW, previous=NEW), follower("c", OLD), follower("d", NEW)]
    of = rollout(RolloutPhase.COMPLETE)
    releases = [trial(of, models[0], GOOD)]
    made = look(of, models, releases, word("revert", of))
    assert made.status.phase is RolloutPhase.REVERTING
    assert [model.name for model in made.bring_back] == ["a"]
    assert made.begin == ()
    of = replace(of, status=made.status)
    going = look(of, models, [*releases, trial(of, models[0], Phase.ROLLOUT, back=True)])
    assert (going.status.phase, going.bring_back) == (RolloutPhase.REVERTING, ())
    models[0] = follower("a", OLD, previous=NEW)
    done = look(of, models, [*releases, trial(of, models[0], GOOD, back=True)])
    assert done.status.phase is RolloutPhase.REVERTED
    assert done.status.sentence.endswith("; 2 keep it, for they have none before that another version made")


def test_a_revert_waits_for_what_is_under_way() -> None:
    models = fleet(2)
    of, releases = after(rollout(), Phase.ROLLOUT, models=models)
    made = look(of, models, releases, word("revert", of))
    assert (made.status.phase, made.status.reason) == (RolloutPhase.REVERTING, "ComingBack")


NAMES = [
    (PipelineVersion("tabular", "1.4.0"), "tabular-stable-1-4-0"),
    (PipelineVersion("tabular", "1.4.0-rc.1"), "tabular-stable-1-4-0-rc-1-"),
    (PipelineVersion("tabular", "1.4.0-rc-1"), "tabular-stable-1-4-0-rc-1-"),
    (PipelineVersion("Tab_ular", "1.4.0"), "tab-ular-stable-1-4-0-"),
    (PipelineVersion("9lives", "1.4.0"), "p-9lives-stable-1-4-0-"),
    (PipelineVersion("a-pipeline-with-quite-a-long-name", "11.40.10"), "a-pipeline-with-quite-a-long-na"),
]


def test_names_are_legal_and_no_two_versions_share_one() -> None:
    names = [rollout_name(version, "stable") for version, _ in NAMES]
    for name, (_, start) in zip(names, NAMES, strict=True):
        assert name.startswith(start)
        assert len(name) <= 40
        replace(rollout().metadata, name=name)
    assert len(set(names)) == len(names)
