"""A state folder with a whole story in it, written through the real stores: trained, drifted, promoted, and a bad candidate rolled back."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec.structs import replace

from tests.unit.audit.drafts import draft
from trimtab.audit.chain import short
from trimtab.audit.record import AuditRecord
from trimtab.documents import parse_model
from trimtab.events import CloudEvent
from trimtab.platforms.local.ledger import SqliteLedger
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.report import Story, read_story
from trimtab.platforms.local.state import State
from trimtab.release import (
    GuardVerdict,
    Phase,
    Promotion,
    Release,
    ReleaseSpec,
    ReleaseStatus,
    Request,
    Verdict,
    Verdicted,
)
from trimtab.schema import HOLDOUT, METRICS, PREDICTION, REFERENCE, SCHEMA, Feature, Metrics, Schema
from trimtab.spec import Champion, Metadata, Model, ModelStatus, Version, recipe

from .report_monitored import HOUR, NASTY, START, WALL, monitored

DOCUMENT = """
apiVersion: trimtab.dev/v1alpha1
kind: Model
metadata: {name: bikes}
spec:
  task: regression
  data: {uri: bike.csv, label: demand, time: at, key: id, labelDelay: 24h}
  monitoring: {window: {rows: 336}}
"""


def read(state: State) -> Story:
    objects = SqliteObjects(state.database)
    try:
        return read_story(state, objects, objects.all_of(Model)[0])
    finally:
        objects.close()


class Writer:
    """Writes Releases with their decisions, each a wall second and some hours of data time after the one before."""

    def __init__(self, objects: SqliteObjects, ledger: SqliteLedger, model: Model) -> None:
        self._objects, self._ledger, self._model, self._wall = objects, ledger, model, WALL

    def release(self, request: Request, status: ReleaseStatus, decisions: Sequence[tuple[int, Phase, str, str, int]]) -> Release:
        """`decisions` are (hours since START, phase, reason, sentence, weight)."""
        name = f"bikes-{request.id[:10]}"
        spec = ReleaseSpec("bikes", self._model.metadata.uid, recipe(self._model.spec), request)
        made = self._objects.create(Release(Metadata(name=name), spec, status))
        records: list[AuditRecord] = []
        for hours, phase, reason, sentence, weight in decisions:
            self._wall += timedelta(seconds=3)
            told = {"sentence": sentence, "weight": weight, "at": self._wall, "data_time": START + hours * HOUR}
            records.append(self._ledger.append(draft(made, reason, phase, **told), records[-1] if records else None))
        finished = self._wall if records and records[-1].phase in (Phase.PROMOTED, Phase.ROLLED_BACK) else None
        last = records[-1]
        status = replace(
            status,
            phase=last.phase,
            reason=last.reason,
            sentence=last.sentence,
            decisions=tuple(map(short, records)),
            finished=finished,
            weight=last.weight,
        )
        return self._objects.write_status(replace(made, status=status))


def write_story(folder: Path, hours: int = 2400) -> State:
    """First version at START, a retrained one promoted at 45% of the hours, a bad one rolled back at 80%."""
    state = State(folder)
    state.prepare()
    objects = SqliteObjects(state.database)
    model = objects.create(replace(parse_model(DOCUMENT), status=ModelStatus(first_cut=START)))
    canary, swap, bad, gone = (round(share * hours) for share in (0.42, 0.45, 0.8, 0.83))
    found = monitored(state, model, hours, canary, swap, bad, gone)
    ledger = SqliteLedger(state.database)
    writer = Writer(objects, ledger, model)
    first, second, third = (Version(str(number), "d" * 64) for number in (1, 2, 3))
    _first(writer, first)
    _retrained(writer, found, first, second, (canary, swap))
    _bad(writer, second, third, (bad, gone))
    objects.write_status(replace(model, status=ModelStatus(Champion("2", "d" * 64, 2), Champion("1", "d" * 64), START)))
    ledger.close()
    objects.close()
    for version in (first, second):
        _folder(state.version_folder("bikes", version.version))
    return state


def _first(writer: Writer, version: Version) -> None:
    request = Request("recipe", "/models/default/bikes", "aaaaaaaaaa", START, sentence="the first version")
    status = ReleaseStatus(candidate=version, promotion=Promotion(WALL, START, WALL))
    decisions = [
        (0, Phase.TRAINING, "Admitted", "nothing stands against it", 0),
        (0, Phase.ROLLOUT, "CandidateReady", "version 1 passed its gates", 0),
        (0, Phase.ROLLOUT, "PromotionStarted", "there is no champion yet: 100% at once", 100),
        (0, Phase.ROLLOUT, "ChampionSwapped", "version 1 becomes champion", 100),
        (0, Phase.PROMOTED, "Promoted", "version 1 is the champion", 100),
    ]
    writer.release(request, status, decisions)


def _retrained(writer: Writer, event: CloudEvent, old: Version, new: Version, when: tuple[int, int]) -> None:
    canary, swap = when
    finding = event.data
    request = Request("performance", event.source, event.id, START + (canary - 60) * HOUR, sentence=finding["sentence"], event=finding)
    errors = GuardVerdict("errors", "notWorse", "errors: 0 of 180 against 1 of 720", -0.001, -0.02, 0.021, 0.05, False, 720, 180)
    slow = GuardVerdict("slow", "hold", "slow: 2 of 180 against 4 of 720", 0.0056, -0.018, 0.052, 0.05, False, 720, 180)
    quality = GuardVerdict("quality", "notWorse", "the loss on 480 rows is 60% lower", 0.4, 0.3, 0.5, 1.05, True, 480, 480)
    status = ReleaseStatus(
        candidate=new,
        compared_with=Champion(old.version, old.digest),
        promotion=Promotion(WALL, START + swap * HOUR, WALL, old_dropped=True),
        verdict=Verdict("notWorse", "no guard is worse", (errors, slow)),
        bake_verdict=Verdict("notWorse", quality.sentence, (quality,)),
    )
    decisions = [
        (canary - 60, Phase.TRAINING, "Admitted", "nothing stands against it", 0),
        (canary - 20, Phase.ROLLOUT, "Deployed", "version 2 is deployed at 0%", 0),
        (canary, Phase.ROLLOUT, "NextStep", "step 1 of 2: 20% of the traffic", 20),
        (canary + 40, Phase.ROLLOUT, "NextStep", "step 2 of 2: 50% of the traffic; no guard is worse", 50),
        (swap - 2, Phase.ROLLOUT, "PromotionStarted", "not worse at every step: 100%", 100),
        (swap, Phase.ROLLOUT, "ChampionSwapped", "version 2 becomes champion", 100),
        (swap, Phase.BAKING, "Baking", "version 2 bakes for 21d of data time", 100),
        (swap + 504, Phase.PROMOTED, "Promoted", "version 2 is the champion", 100),
    ]
    writer.release(request, status, decisions)


def _bad(writer: Writer, old: Version, new: Version, when: tuple[int, int]) -> None:
    bad, gone = when
    request = Request("person", "notebook", "cccccccccc", START + (bad - 100) * HOUR, by=NASTY, sentence=NASTY)
    sentence = f"errors: 21 of 60 against 0 of 240 {NASTY}"
    errors = GuardVerdict("errors", "harm", sentence, 0.35, 0.19, 0.52, 0.05, False, 240, 60)
    slow = GuardVerdict("slow", "notWorse", "slow: 0 of 60 against 2 of 240", -0.008, -0.03, 0.03, 0.05, False, 240, 60)
    status = ReleaseStatus(
        candidate=new,
        compared_with=Champion(old.version, old.digest, 2),
        verdict=Verdict("harm", errors.sentence, (errors, slow)),
        outcome=Verdicted(Phase.ROLLED_BACK, "Harm", errors.sentence),
    )
    decisions = [
        (bad - 40, Phase.ROLLOUT, "CandidateReady", "version 3 passed its gates", 0),
        (bad, Phase.ROLLOUT, "NextStep", "step 1 of 2: 20% of the traffic", 20),
        (gone, Phase.WITHDRAWING, "Harm", sentence, 20),
        (gone, Phase.WITHDRAWING, "Harm", sentence, 0),
        (gone + 2, Phase.ROLLED_BACK, "Harm", sentence, 0),
    ]
    writer.release(request, status, decisions)


def _folder(folder: Path) -> None:
    """A version's files, as many as a report needs."""
    folder.mkdir(parents=True)
    schema = Schema("regression", "demand", (Feature("temp", "number"),), key="id", time="at")
    (folder / SCHEMA).write_bytes(msgspec.json.encode(schema))
    (folder / METRICS).write_bytes(msgspec.json.encode(Metrics({"rmse": 70.0}, "rmse", 40_000.0, 100, 30)))
    hours = [START - hour * HOUR for hour in range(60)]
    columns = {"temp": [float(hour) for hour in range(60)], "demand": [1.0] * 60, PREDICTION: [1.0] * 60, HOLDOUT: [True] * 60}
    pq.write_table(pa.table({**columns, "at": [hour.isoformat() for hour in hours]}), folder / REFERENCE)
