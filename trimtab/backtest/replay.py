"""Another policy over the windows that a monitor stored: what it would have found, and what the governor would have let begin. Pure.

What was measured of a window (p-values, effects, the metric and its spread) stays as it is; what counts as moved, worse, lasting or news is
decided anew, in the order of the data times at which it was said, by the functions that decide in service. The windows are those of the
versions that did serve: a retrain that would not have begun, or would have begun earlier, has changed none of them.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from trimtab.control.intake import release_for
from trimtab.events import Finding, finding_event
from trimtab.monitoring import deciding, explanation, performance
from trimtab.monitoring.checks import SOURCE
from trimtab.monitoring.findings import Where
from trimtab.monitoring.records import WindowRecord
from trimtab.monitoring.tables import moment
from trimtab.monitoring.verdicts import found_drift, found_explanation, found_performance, news_since
from trimtab.release import Admit, Phase, Promotion, Refuse, Release, Request
from trimtab.retraining.govern import govern
from trimtab.retraining.route import route
from trimtab.spec import Model
from trimtab.units import duration, margin


class Told(Struct, frozen=True, rename="camel"):
    """A finding under the policy, what it leads to (a Route's action), and what became of the retrain that it asks for, if any."""

    finding: Finding
    action: Literal["retrain", "page", "watch"]
    sentence: str
    retrain: Literal["", "began", "waits", "refused"] = ""
    began: datetime | None = None


class Replayed(Struct, frozen=True):
    """What a policy makes of the windows; `unmeasured` counts judged windows whose spread was not stored."""

    told: list[Told]
    windows: int
    unmeasured: int

    @property
    def retrains(self) -> int:
        """How many retrains would have begun."""
        return sum(one.retrain == "began" for one in self.told)


def under(model: Model, policy: Model) -> Model:
    """The Model as it is, with the policy's monitoring and retraining."""
    return replace(model, spec=replace(model.spec, monitoring=policy.spec.monitoring, retraining=policy.spec.retraining))


def replay(
    model: Model, windows: Sequence[WindowRecord], made: Sequence[Finding], releases: Sequence[Release], seasons: Callable[[str], float]
) -> Replayed:
    """What `model`'s policy makes of the stored windows.

    `made` are the findings that were made: those of quality are taken as they are, since no policy changes them. `releases` are the
    Model's, `seasons` tells how many seasons a version's reference spans.
    """
    found = [finding for finding in made if finding.kind == "quality"]
    unmeasured = 0
    history: dict[tuple[str, int], WindowRecord] = {
        (one.version, one.window): replace(one, drift=None, judgement=None, explanation=None) for one in windows
    }
    for _, record, what in sorted(_sayings(windows), key=lambda saying: (saying[0], saying[1].window, saying[2] == "performance")):
        before = [history[key] for key in _before(history, record, found_within(model))]
        known = history[(record.version, record.window)]
        fresh: list[Finding] = []
        if what == "drift" and record.drift is not None:
            drift = deciding.again(record.drift, model.spec.monitoring.drift.effect)
            fresh = found_drift(Where(model, known, moment(drift.at), seasons(record.version)), before, drift)
            known = replace(known, drift=drift)
        elif what == "explanation" and record.explanation is not None:
            ranking = explanation.again(record.explanation, model.spec.monitoring.explanation.ndcg)
            fresh = found_explanation(Where(model, known, moment(ranking.at), seasons(record.version)), before, ranking)
            known = replace(known, explanation=ranking)
        elif record.judgement is not None:
            policy = model.spec.monitoring.performance
            unmeasured += record.judgement.own is None
            judgement = performance.again(record.judgement, margin(policy.margin), policy.floor)
            fresh = found_performance(Where(model, known, moment(judgement.at), seasons(record.version)), before, judgement)
            known = replace(known, judgement=judgement)
        history[(record.version, record.window)] = known
        found += [one for one in fresh if not _told(model, found, one)]
    found.sort(key=lambda finding: (finding.cut, finding.window))
    return Replayed(_governed(model, found, releases), len(windows), unmeasured)


def found_within(model: Model) -> int:
    """How many windows before one are looked at."""
    return 1 - news_since(model, 0)


def _sayings(windows: Iterable[WindowRecord]) -> Iterable[tuple[float, WindowRecord, str]]:
    for record in windows:
        if record.drift is not None:
            yield record.drift.at, record, "drift"
        if record.explanation is not None:
            yield record.explanation.at, record, "explanation"
        if record.judgement is not None:
            yield record.judgement.at, record, "performance"


def _before(history: dict[tuple[str, int], WindowRecord], record: WindowRecord, count: int) -> list[tuple[str, int]]:
    """The places of the version's windows before this one, at most `count`, oldest first."""
    return sorted(key for key in history if key[0] == record.version and key[1] < record.window)[-count:]


def _told(model: Model, found: Sequence[Finding], one: Finding) -> bool:
    since = news_since(model, one.window)
    return any((other.version, other.kind) == (one.version, one.kind) and other.window >= since for other in found)


# --- what the findings lead to


def _governed(model: Model, found: Sequence[Finding], releases: Sequence[Release]) -> list[Told]:
    """The findings' Releases as the governor would have let them begin, beside those that persons and recipes asked for.

    One that really began ends as it did. Any other is taken to be promoted at once, and to bake as long as the Model says.
    """
    really = {release.spec.request.id: release for release in releases}
    others = [release for release in releases if release.spec.request.trigger not in ("performance", "concept", "drift")]
    told: list[Told] = []
    asked: dict[str, Release] = {}
    moments = sorted({finding.cut for finding in found})
    for number, now in enumerate(moments):
        for finding in found:
            if finding.cut == now:
                way = route(finding, model)
                told.append(Told(finding, way.action, way.sentence, "waits" if way.trigger else ""))
                if way.trigger:
                    event = finding_event(finding, SOURCE)
                    request = Request(way.trigger, event.source, event.id, finding.cut, sentence=finding.sentence)
                    made = release_for(model, request)
                    asked[event.id] = replace(made, metadata=replace(made.metadata, creation_timestamp=now))
        until = moments[number + 1] if number + 1 < len(moments) else None
        _admit(model, asked, really, others, now, until)
    return [_ended(one, asked) for one in told]


def _admit(
    model: Model, asked: dict[str, Release], really: dict[str, Release], others: Sequence[Release], now: datetime, until: datetime | None
) -> None:
    """Let what waits begin between `now` and `until`, whenever the governor says so first."""
    at: datetime | None = now
    while at is not None and (until is None or at < until):
        later: list[datetime] = []
        for key, release in asked.items():
            if release.status.phase is not Phase.PENDING:
                continue
            standing = [_at(other, at, model) for other in (*others, *asked.values()) if not _later(other, at)]
            said = govern(release, model, standing, at, 0, 1)
            if isinstance(said, Admit):
                asked[key] = _began(release, really.get(key), at)
            elif isinstance(said, Refuse):
                asked[key] = replace(release, status=replace(release.status, phase=said.phase, sentence=said.sentence))
            elif said.until is not None:
                later.append(said.until)
        later += [over for one in (*others, *asked.values()) if (over := _over(one, model)) is not None and over > at]
        waiting = any(release.status.phase is Phase.PENDING for release in asked.values())
        at = min((moment for moment in later if moment > at), default=None) if waiting else None


def _began(release: Release, really: Release | None, at: datetime) -> Release:
    if really is not None and really.status.admitted_data is not None and really.terminal:
        status = replace(really.status, admitted_data=at)
    else:
        status = replace(release.status, phase=Phase.PROMOTED, admitted_at=at, admitted_data=at, promotion=Promotion(at, at, at))
    return replace(release, status=status)


def _over(release: Release, model: Model) -> datetime | None:
    """When (data time) a Release that began was over: its bake with it; None for one that did not begin."""
    status = release.status
    if status.admitted_data is None:
        return None
    since = status.promotion.since if status.promotion else None
    if since is None or status.phase is not Phase.PROMOTED or (status.compared_with is None and status.attempt):
        return since or status.admitted_data
    return since + duration((status.rollout or model.spec.rollout).bake.duration)


def _later(release: Release, at: datetime) -> bool:
    """Whether the Release began only after this moment, or never."""
    began = release.status.admitted_data
    return release.status.phase is not Phase.PENDING and (began is None or began > at)


def _at(release: Release, at: datetime, model: Model) -> Release:
    """The Release as it stood then: under way until it was over."""
    over = _over(release, model)
    if over is None or at >= over or release.status.phase is Phase.PENDING:
        return release
    return replace(release, status=replace(release.status, phase=Phase.BAKING))


def _ended(one: Told, asked: dict[str, Release]) -> Told:
    if not one.retrain:
        return one
    status = asked[finding_event(one.finding, SOURCE).id].status
    if status.admitted_data is not None:
        return replace(one, retrain="began", began=status.admitted_data)
    return one if status.phase is Phase.PENDING else replace(one, retrain="refused", sentence=status.sentence)
