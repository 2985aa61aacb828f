"""What happened to a Model, read from its state folder as one value that a page can be made of.

Nothing is asked of running processes: everything is in the two databases and in the versions' folders, so that a report
can be written while things are up and long after they went down.
"""

import logging
from datetime import datetime

import msgspec
import numpy as np
import sqlalchemy as sa
from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.events import Finding, data_of
from trimtab.monitoring.columns import Floats, labelled, predicted
from trimtab.monitoring.metric import PRIMARY
from trimtab.monitoring.pairing import Scores
from trimtab.monitoring.records import Records, WindowRecord, parsed
from trimtab.monitoring.reference import read_reference
from trimtab.monitoring.store import Store
from trimtab.monitoring.tables import labels, moment, rows
from trimtab.platforms.local.ledger import SqliteLedger
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.report_shares import Share, served
from trimtab.platforms.local.state import State
from trimtab.release import DecisionRecord, Release
from trimtab.schema import Schema, read_schema
from trimtab.spec import Model

log = logging.getLogger(__name__)

MANY = 10_000
POINTS = 800
STEPS = {"minute": 60.0, "hour": 3_600.0, "day": 86_400.0, "week": 604_800.0}


class VersionTraffic(Struct, frozen=True, rename="camel"):
    """The requests that a version got, and how many of them got no prediction; first and last are event times."""

    version: str
    requests: int
    without_prediction: int
    first: datetime | None
    last: datetime | None


class Course(Struct, frozen=True):
    """Means of label and prediction over one `step` each; shapes (steps,), NaN where there is nothing to take a mean of."""

    step: str
    times: list[datetime]
    label: Floats
    prediction: Floats


class Paired(Struct, frozen=True, rename="camel"):
    """A new champion and the one before it on the same rows after the promotion; errors in the metric's own unit."""

    release: str
    metric: str
    before: str
    after: str
    before_error: float
    after_error: float
    rows: int


class Story(Struct, frozen=True):
    """All that a report tells; `decisions` by Release's name, `asked` the Release that a finding asked for, by the finding's place.

    `keys` counts the different rows that were asked about: one that was asked twice is one.
    """

    model: Model
    releases: list[Release]
    decisions: dict[str, list[DecisionRecord]]
    shares: list[Share]
    watermark: datetime | None = None
    traffic: list[VersionTraffic] = []
    keys: int = 0
    course: Course | None = None
    windows: list[WindowRecord] = []
    findings: list[Finding] = []
    asked: dict[int, Release] = {}
    paired: list[Paired] = []

    @property
    def begun(self) -> list[Release]:
        """The Releases that were admitted, or still may be."""
        return [release for release in self.releases if not idle(release)]

    @property
    def led(self) -> dict[int, Release]:
        """`asked` without the Releases that ended before they began."""
        return {number: release for number, release in self.asked.items() if not idle(release)}

    @property
    def requests(self) -> int:
        """All requests that were captured."""
        return sum(one.requests for one in self.traffic)

    @property
    def without_prediction(self) -> int:
        """The requests that got no prediction."""
        return sum(one.without_prediction for one in self.traffic)


def idle(release: Release) -> bool:
    """Whether the Release ended before it began: refused, or another one spoke for it."""
    return release.terminal and release.status.admitted_at is None and release.status.candidate is None


def read_story(state: State, objects: SqliteObjects, model: Model) -> Story:
    """Everything that the state knows of a Model."""
    releases = [item for item in objects.all_of(Release) if item.spec.model_uid == model.metadata.uid]
    ledger = SqliteLedger(state.database)
    try:
        decisions: dict[str, list[DecisionRecord]] = {release.name: [*ledger.of(release)] for release in releases}
    finally:
        ledger.close()
    story = Story(model, releases, decisions, served(releases, decisions, model.status.first_cut))
    if not state.monitor_database.exists():
        return story
    store = Store(state.monitor_database)
    try:
        return _watched(story, state, store)
    finally:
        store.close()


def _watched(story: Story, state: State, store: Store) -> Story:
    """The story with what the monitor saw."""
    model = story.model
    name = f"{model.metadata.namespace}/{model.name}"
    records = Records(store)
    events = records.findings(name)
    by_event = {release.spec.request.id: release for release in story.releases}
    return msgspec.structs.replace(
        story,
        watermark=store.watermark(name),
        traffic=_traffic(store, name),
        keys=_keys(store, name),
        course=_course(store, name, _schema(state, model)),
        windows=records.recent(name, None, MANY),
        findings=[data_of(event, Finding) for event in events],
        asked={place: by_event[event.id] for place, event in enumerate(events) if event.id in by_event},
        paired=[pair for release in story.releases if (pair := _paired(state, store, name, release)) is not None],
    )


def _schema(state: State, model: Model) -> Schema:
    """The champion's schema; where its files are gone, as much of it as the document tells."""
    champion = model.status.champion
    if champion is not None:
        try:
            return read_schema(state.version_folder(model.name, champion.version))
        except InvalidInput as error:
            log.warning("labels and predictions are read without the champion's schema: %s", error)
    return Schema(model.spec.task, model.spec.data.label, ())


def _traffic(store: Store, model: str) -> list[VersionTraffic]:
    columns = (
        rows.c.version,
        sa.func.count(),
        sa.func.count(rows.c.prediction),
        sa.func.min(rows.c.time),
        sa.func.max(rows.c.time),
    )
    question = sa.select(*columns).where(rows.c.model == model).group_by(rows.c.version).order_by(sa.func.min(rows.c.seq))
    with store.transaction(reading=True) as connection:
        found = connection.execute(question).all()
    return [
        VersionTraffic(version, many, many - answered, moment(first) if first else None, moment(last) if last else None)
        for version, many, answered, first, last in found
    ]


def _keys(store: Store, model: str) -> int:
    with store.transaction(reading=True) as connection:
        return int(connection.scalar(sa.select(sa.func.count(rows.c.key.distinct())).where(rows.c.model == model)) or 0)


def _course(store: Store, model: str, schema: Schema) -> Course | None:
    """Label and prediction over time; None for classes without an order, and before the first row."""
    if schema.task == "multiclass":
        return None
    joined = rows.outerjoin(labels, (labels.c.model == rows.c.model) & (labels.c.key == rows.c.key))
    question = sa.select(rows.c.time, rows.c.prediction, labels.c.value).select_from(joined)
    with store.transaction(reading=True) as connection:
        found = connection.execute(question.where(rows.c.model == model, rows.c.time.is_not(None)).order_by(rows.c.time)).all()
    if not found:
        return None
    times = np.array([row.time for row in found])
    span = float(times[-1] - times[0])
    step = next((name for name, seconds in STEPS.items() if span / seconds <= POINTS), "week")
    places = (times // STEPS[step]).astype(np.int64)
    places -= places[0]
    start = float(times[0] // STEPS[step] * STEPS[step])
    return Course(
        step,
        [moment(start + place * STEPS[step]) for place in range(int(places[-1]) + 1)],
        _means(places, labelled(schema, [parsed(row.value) for row in found])),
        _means(places, predicted(schema, [parsed(row.prediction) for row in found])),
    )


def _means(places: "np.ndarray[tuple[int], np.dtype[np.int64]]", values: Floats) -> Floats:
    """The mean of the values at each place, NaN where there are less than half as many as usual: half a day is no day."""
    usable, size = ~np.isnan(values), int(places[-1]) + 1
    count = np.bincount(places[usable], minlength=size)
    total = np.bincount(places[usable], weights=values[usable], minlength=size)
    means: Floats = np.divide(
        total, count, out=np.full(size, np.nan), where=count >= max(1.0, np.median(count[count > 0]) / 2 if count.any() else 1.0)
    )
    return means


def _paired(state: State, store: Store, model: str, release: Release) -> Paired | None:
    """New against old champion after the promotion; None where there was no old one or the two share no labelled row."""
    status = release.status
    since = status.promotion.since if status.promotion else None
    watermark = store.watermark(model)
    if since is None or watermark is None or status.compared_with is None or status.candidate is None:
        return None
    before, after = status.compared_with.version, status.candidate.version
    try:
        reference = read_reference(state.version_folder(release.spec.model, before))
    except InvalidInput as error:
        log.warning("versions %s and %s are not compared: %s", before, after, error)
        return None
    losses = Scores(store).paired(model, before, after, since, watermark, reference)
    if not losses.champion:
        return None
    regression = reference.schema.task == "regression"
    errors = [float(np.sqrt(np.mean(side)) if regression else np.mean(side)) for side in (losses.champion, losses.candidate)]
    metric = PRIMARY["regression"] if regression else "log_loss"
    return Paired(release.name, metric, before, after, errors[0], errors[1], len(losses.champion))
