"""The newest of every model at once: what a fleet's page and metrics ask for, in three questions however many models there are."""

from collections.abc import Mapping

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from trimtab.events import CloudEvent, Finding, data_of
from trimtab.monitoring.records import WindowRecord, read_row
from trimtab.monitoring.store import Store
from trimtab.monitoring.tables import findings, watermarks, windows

_CHUNK = 5_000


class Newest(Struct):
    """A version's newest window that was tested, the number of its `last` window (-1: there is none), and the findings of its newest ones,
    oldest first; `broken`: the model's open quality findings."""

    watermark: float | None
    findings: list[Finding]
    broken: list[Finding]
    tested: WindowRecord | None = None
    last: int = -1


def newest(store: Store, versions: Mapping[str, str], since: int) -> dict[str, Newest]:
    """What there is of each model (`namespace/name`) and its version; findings of its newest `since` windows."""
    found: dict[str, Newest] = {}
    names = sorted(versions)
    for first in range(0, len(names), _CHUNK):
        chunk = {name: versions[name] for name in names[first : first + _CHUNK]}
        found.update(_newest(store, chunk, since))
    return found


def _newest(store: Store, versions: Mapping[str, str], since: int) -> dict[str, Newest]:
    if not versions:
        return {}
    wanted = _listed(versions)
    ours = (windows.c.model == wanted.c.model) & (windows.c.version == wanted.c.version)
    last = sa.select(sa.func.max(windows.c.window)).where(ours).correlate(wanted).scalar_subquery()
    before = windows.alias()
    theirs = (before.c.model == wanted.c.model) & (before.c.version == wanted.c.version) & before.c.drift.is_not(None)
    tested = sa.select(before.c.window).where(theirs).order_by(before.c.window.desc()).limit(1).correlate(wanted).scalar_subquery()
    record = windows.alias()
    of_it = (record.c.model == wanted.c.model) & (record.c.version == wanted.c.version) & (record.c.window == tested)
    closed = sa.select(wanted.c.model.label("whose"), last.label("last"), record).join_from(wanted, record, of_it, isouter=True)
    fresh = (findings.c.version == wanted.c.version) & (findings.c.window > last - since)
    told = (findings.c.model == wanted.c.model) & ((findings.c.open == 1) | fresh)
    said = sa.select(findings.c.model, findings.c.open, findings.c.event).join_from(wanted, findings, told)
    with store.transaction(reading=True) as connection:
        records = [(row.whose, row.last, None if row.window is None else read_row(row)) for row in connection.execute(closed)]
        events = [(row.model, bool(row.open), row.event) for row in connection.execute(said.order_by(sa.text("findings.rowid")))]
        times = {row.model: row.time for row in connection.execute(sa.select(watermarks)) if row.model in versions}
    made = {name: Newest(times.get(name), [], []) for name in versions}
    for name, number, found in records:
        made[name].tested, made[name].last = found, -1 if number is None else number
    for name, is_open, event in events:
        finding = data_of(msgspec.json.decode(event, type=CloudEvent), Finding)
        if finding.version == versions[name]:
            made[name].findings.append(finding)
        if is_open:
            made[name].broken.append(finding)
    return made


def _listed(versions: Mapping[str, str]) -> sa.CTE:
    """The models and their versions as a table; as text, which SQLAlchemy need not put together value by value."""
    pairs = ", ".join(f"(:m{place}, :v{place})" for place in range(len(versions)))
    values = {f"{letter}{place}": value for place, pair in enumerate(versions.items()) for letter, value in zip("mv", pair, strict=True)}
    text = sa.text(f"SELECT column1 AS model, column2 AS version FROM (VALUES {pairs}) AS given")  # noqa: S608 - numbered names of ours
    return text.bindparams(**values).columns(sa.column("model", sa.String), sa.column("version", sa.String)).cte("wanted")
