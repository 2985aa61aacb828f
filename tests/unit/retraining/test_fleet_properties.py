"""Whatever the fleet and however its Releases end: never more bad ones than the bound, halted stays halted, and a good version arrives."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.retraining.fleets import NOW, fleet, rollout, trial
from trimtab.pipeline_rollout import PipelineRollout, RolloutPhase
from trimtab.release import BAD_ENDS, TERMINAL, Phase, Release
from trimtab.retraining.fleet import bound, step
from trimtab.spec import Model

ENDINGS = st.sampled_from(sorted(TERMINAL))
LOOKS = 400


class Life:
    """A roll-out over a fleet: Releases begin as the steps say and end as they are told to, some while others go on."""

    def __init__(self, models: list[Model], of: PipelineRollout) -> None:
        self.models, self.rollout = models, of
        self.releases: dict[str, Release] = {}
        self.begun: list[str] = []

    def look(self) -> None:
        was = self.rollout.status.phase
        made = step(self.rollout, self.models, list(self.releases.values()), (), newer=False, now=NOW)
        self.rollout = replace(self.rollout, status=made.status)
        for model in made.begin:
            assert model.name not in self.begun, "a Model has one turn"
            self.begun.append(model.name)
            self.releases[model.name] = trial(self.rollout, model)
        if was is RolloutPhase.HALTED:
            assert made.status.phase is RolloutPhase.HALTED, "only a person lets it go on"
            assert not made.begin
        self.check()

    def end(self, name: str, phase: Phase) -> None:
        release = self.releases[name]
        self.releases[name] = replace(release, status=replace(release.status, phase=phase))

    def flying(self) -> list[str]:
        return [name for name, one in self.releases.items() if one.status.phase not in TERMINAL]

    def check(self) -> None:
        bad = sum(one.status.phase in BAD_ENDS for one in self.releases.values())
        most = bound(self.rollout.spec, len(self.models))
        assert most <= 1 + 0.1 * len(self.models)
        assert bad + len(self.flying()) <= most
        counts = self.rollout.status.counts
        parts = counts.done + counts.bad + counts.in_flight + counts.waiting + counts.without_effect + counts.forgiven
        assert counts.models == len(self.models) == parts


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 45), uid=st.uuids(), data=st.data())
def test_never_more_bad_than_the_bound(count: int, uid: object, data: st.DataObject) -> None:
    life = Life(fleet(count), rollout(uid=str(uid)))
    for _ in range(LOOKS):
        life.look()
        flying = life.flying()
        if not flying:
            break
        for name in data.draw(st.lists(st.sampled_from(flying), min_size=1, unique=True), "which end"):
            life.end(name, data.draw(ENDINGS, "how"))
    assert life.rollout.status.phase in (RolloutPhase.HALTED, RolloutPhase.COMPLETE)
    first = life.releases[life.begun[0]]
    if first.status.phase in BAD_ENDS:
        assert len(life.begun) == 1, "a bad one in the first stage is the last one"


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 45), uid=st.uuids())
def test_a_version_that_is_always_bad_gets_no_further_than_its_first_model(count: int, uid: object) -> None:
    life = Life(fleet(count), rollout(uid=str(uid)))
    life.look()
    (only,) = life.begun
    life.end(only, Phase.ROLLED_BACK)
    life.look()
    life.look()
    assert life.begun == [only]
    assert life.rollout.status.phase is RolloutPhase.HALTED


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 45), uid=st.uuids(), data=st.data())
def test_where_all_end_well_all_get_it(count: int, uid: object, data: st.DataObject) -> None:
    life = Life(fleet(count), rollout(uid=str(uid)))
    reached = []
    for _ in range(LOOKS):
        life.look()
        reached.append((life.rollout.status.stage, len(life.begun)))
        if not life.flying():
            break
        life.end(data.draw(st.sampled_from(life.flying())), Phase.PROMOTED)
    assert life.rollout.status.phase is RolloutPhase.COMPLETE
    assert sorted(life.begun) == sorted(model.name for model in life.models)
    assert all(begun <= 1 for stage, begun in reached if stage == 1)
    assert all(begun <= -(-count // 10) for stage, begun in reached if stage == 2)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 20), data=st.data())
def test_order_and_repeats_of_what_is_seen_do_not_matter(count: int, data: st.DataObject) -> None:
    models, of = fleet(count), rollout()
    begun = data.draw(st.lists(st.sampled_from(models), unique_by=lambda model: model.name))
    releases = [trial(of, model, data.draw(st.sampled_from(sorted(Phase)))) for model in begun]
    plain = step(of, models, releases, (), newer=False, now=NOW)
    mixed = (data.draw(st.permutations([*models, *models[:2]])), data.draw(st.permutations([*releases, *releases[:3]])))
    assert step(of, *mixed, (), newer=False, now=NOW) == plain
