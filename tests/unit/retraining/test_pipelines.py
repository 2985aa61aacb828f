"""Which version of its pipeline a Model's next run executes, and which new versions are due: a table with a sentence a case."""

from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from tests.unit.retraining.fleets import NEW, OLD, follower, rollout
from trimtab.making import PipelineRef
from trimtab.package import BUILT_IN
from trimtab.pipeline_rollout import Counts, PipelineRollout, RolloutPhase
from trimtab.release import Refuse, Wait
from trimtab.retraining.pipelines import due, overtaken, version_for
from trimtab.spec import Model, PipelineVersion

OLDER, PRE = PipelineVersion("churn", "1.2.0", "9" * 64), PipelineVersion("churn", "1.5.0-rc.1", "e" * 64)
NEWER, OTHER = PipelineVersion("churn", "1.10.0", "f" * 64), PipelineVersion("fraud", "9.0.0", "0" * 64)
PUBLISHED = [OLDER, OLD, NEW, PRE, OTHER]
LATEST = PipelineRef("churn", channel="latest")
FIRST = follower(made=None)


@dataclass
class Case:
    sentence: str
    model: Model
    expected: object
    published: list[PipelineVersion] = field(default_factory=lambda: PUBLISHED)
    rollouts: list[PipelineRollout] = field(default_factory=list)


CASES = [
    Case("what made the champion makes the next, whatever is newer", follower(made=OLD), OLD),
    Case("what made it need not be published any more", follower(made=OLD), OLD, []),
    Case(
        "what made the champion is kept where its roll-out was halted: it proved itself here",
        follower(made=NEW),
        NEW,
        rollouts=[rollout(RolloutPhase.HALTED)],
    ),
    Case("what was reverted makes no next version", follower(made=NEW), OLD, rollouts=[rollout(RolloutPhase.REVERTED)]),
    Case("nor while it is being reverted", follower(made=NEW), OLD, rollouts=[rollout(RolloutPhase.REVERTING)]),
    Case("another version is asked for by its number", follower(made=OLD, ref=PipelineRef("churn", "1.4.0")), NEW),
    Case("the number of what made it", follower(made=OLD, ref=PipelineRef("churn", "1.3.0")), OLD),
    Case("another pipeline is asked for", follower(made=OLD, ref=PipelineRef("fraud", "9.0.0")), OTHER),
    Case("another pipeline's channel is asked for", follower(made=OLD, ref=PipelineRef("fraud", channel="stable")), OTHER),
    Case("a prerelease is not on the channel stable", follower(made=PRE), NEW),
    Case("a prerelease is on the channel latest", follower(made=PRE, ref=LATEST), PRE),
    Case("the first version is made by the newest of the channel", FIRST, NEW),
    Case("of latest it may be a prerelease", follower(made=None, ref=LATEST), PRE),
    Case("1.10 is newer than 1.4", FIRST, NEWER, [NEWER, OLD, NEW]),
    Case("not by one that is under way where another one has settled", FIRST, OLD, rollouts=[rollout()]),
    Case("by one whose roll-out is complete", FIRST, NEW, rollouts=[rollout(RolloutPhase.COMPLETE, counts=Counts(models=1, done=1))]),
    Case("not by one that nobody has though all had their turn", FIRST, OLD, rollouts=[rollout(RolloutPhase.COMPLETE)]),
    Case("by one that is under way where there is no other", FIRST, NEW, [NEW], [rollout()]),
    Case("never by one that was halted", FIRST, OLD, rollouts=[rollout(RolloutPhase.HALTED)]),
    Case("never by one that was reverted", FIRST, OLD, rollouts=[rollout(RolloutPhase.REVERTED)]),
    Case("one that was never finished, for a newer one came, is not settled", FIRST, OLD, rollouts=[rollout(RolloutPhase.SUPERSEDED)]),
    Case("the pipeline that comes with Trimtab is not published", follower(made=None, ref=PipelineRef()), BUILT_IN, []),
    Case("nor asked for by its number", follower(made=None, ref=PipelineRef("tabular", "1.0.0")), BUILT_IN, []),
    Case("it is on its channels too", follower(made=None, ref=PipelineRef("tabular", channel="stable")), BUILT_IN, []),
    Case(
        "and nobody publishes over it",
        follower(made=None, ref=PipelineRef("tabular", channel="stable")),
        BUILT_IN,
        [PipelineVersion("tabular", "1.0.0", "bad")],
    ),
    Case(
        "a champion from before packages was made by it",
        follower(made=None, ref=PipelineRef("tabular", channel="stable")),
        PipelineVersion("tabular", "1.1.0", "1" * 64),
        [PipelineVersion("tabular", "1.1.0", "1" * 64)],
    ),
    Case(
        "nothing is on the channel",
        FIRST,
        Wait(None, "NoPipeline", "no version of the pipeline 'churn' is on the channel stable: published are 1.5.0-rc.1", ends=False),
        [PRE],
    ),
    Case(
        "the number is not published",
        follower(made=OLD, ref=PipelineRef("churn", "2.0.0")),
        Wait(None, "NoPipeline", "the pipeline churn 2.0.0 is not published; published are 1.2.0, 1.3.0, 1.4.0, 1.5.0-rc.1", ends=False),
    ),
    Case(
        "the number is none",
        follower(made=OLD, ref=PipelineRef("churn", "new")),
        Refuse(
            "NoPipeline",
            "spec.training.pipeline.version: 'new' is no version: allowed is MAJOR.MINOR.PATCH by Semantic Versioning, "
            "such as 1.4.0 or 1.5.0-rc.1",
        ),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.sentence)
def test_what_the_next_run_executes(case: Case) -> None:
    assert version_for(case.model, case.published, case.rollouts) == case.expected
    assert version_for(case.model, [*case.published, *case.published][::-1], case.rollouts * 2) == case.expected


def test_another_namespace_s_roll_out_says_nothing() -> None:

    halted = rollout(RolloutPhase.HALTED)
    elsewhere = replace(halted, metadata=replace(halted.metadata, namespace="other"))
    assert version_for(FIRST, PUBLISHED, [elsewhere]) == NEW


DUE = [
    ("a champion is older", [follower(made=OLD)], PUBLISHED, [], ["churn-stable-1-4-0"]),
    ("one of several is", [follower("a", NEW), follower("b", OLD)], PUBLISHED, [], ["churn-stable-1-4-0"]),
    ("all have it", [follower("a", NEW)], PUBLISHED, [], []),
    ("a Model without a champion has nothing to compare with", [FIRST], PUBLISHED, [], []),
    ("a Model that names a number follows nothing", [follower(made=OLD, ref=PipelineRef("churn", "1.3.0"))], PUBLISHED, [], []),
    ("it is under way", [follower(made=OLD)], PUBLISHED, [rollout()], []),
    ("it was halted, and no older one is new to anybody", [follower(made=OLD)], PUBLISHED, [rollout(RolloutPhase.HALTED)], []),
    (
        "it was halted, and an older one is new to somebody",
        [follower(made=OLDER)],
        PUBLISHED,
        [rollout(RolloutPhase.HALTED)],
        ["churn-stable-1-3-0"],
    ),
    (
        "each channel has its own",
        [follower("a", OLD), follower("b", OLD, LATEST)],
        PUBLISHED,
        [],
        ["churn-latest-1-5-0-rc-1-3b492677", "churn-stable-1-4-0"],
    ),
    ("nothing is published", [follower(made=OLD)], [], [], []),
    ("the champion was made by another pipeline", [follower(made=OTHER)], PUBLISHED, [], []),
    ("a champion that is newer than the channel is left alone", [follower(made=PRE)], PUBLISHED, [], []),
]


@pytest.mark.parametrize(("models", "published", "rollouts", "names"), [case[1:] for case in DUE], ids=[case[0] for case in DUE])
def test_what_is_due(models: list[Model], published: list[PipelineVersion], rollouts: list[PipelineRollout], names: list[str]) -> None:
    made = due(models, published, rollouts)
    assert [one.name for one in made] == names
    assert due(models[::-1], published[::-1], rollouts) == made
    assert due(models, published, [*rollouts, *made]) == [], "it is created once"


def test_a_roll_out_is_overtaken_by_a_newer_one_that_was_not_stopped() -> None:
    old, new = rollout(pipeline=OLD), rollout(pipeline=NEW)
    assert overtaken(old, [old, new])
    assert not overtaken(new, [old, new])
    assert not overtaken(old, [old, rollout(RolloutPhase.HALTED, pipeline=NEW)])
    assert not overtaken(old, [old, rollout(pipeline=OTHER)])
