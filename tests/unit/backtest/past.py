"""A state folder as a laptop leaves it, with a store that a monitor really wrote: its windows, its findings and its Releases."""

import json
from pathlib import Path

import msgspec
from msgspec.structs import replace

from tests.unit.monitoring.folders import ScipyDetector
from trimtab.backtest.history import read_history
from trimtab.backtest.life import Life
from trimtab.backtest.policies import offline
from trimtab.backtest.replay import Replayed, replay, under
from trimtab.backtest.workshop import Workshop
from trimtab.events import Finding, data_of
from trimtab.monitoring.records import Records
from trimtab.monitoring.store import Store
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.state import State
from trimtab.spec import Champion, Model, ModelStatus

from .worlds import FIRST, model, table, write


class Past:
    """What a life left in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.state = State(folder / "state")
        self.state.prepare()
        objects = SqliteObjects(self.state.database)
        given = offline(model(write(table(), folder / "rows.parquet")), 1)
        status = ModelStatus(champion=Champion("1", "0" * 64))
        self.model = objects.create(replace(given, status=status))
        alone = replace(self.model, status=ModelStatus())
        life = Life(read_history(given.spec.data), alone, Workshop(given, folder), ScipyDetector(), self.state.folder, FIRST, ())
        self.lived = life.live()
        self.releases = [objects.create(release) for release in life.releases]
        store = Store(self.state.monitor_database)
        records = Records(store)
        self.windows = records.recent("default/meter", None, 10_000)
        self.made = [data_of(event, Finding) for event in records.findings("default/meter")]
        store.close()

    def under(self, policy: Model) -> Replayed:
        seasons = {finding.version: finding.seasons for finding in self.made}
        return replay(under(self.model, policy), self.windows, self.made, self.releases, lambda one: seasons.get(one, 0.0))

    def changed(self, **parts: object) -> Model:
        """The Model with other parts of its monitoring, or another `retraining`."""
        spec = self.model.spec
        monitoring = replace(spec.monitoring, **{name: part for name, part in parts.items() if name != "retraining"})
        return replace(self.model, spec=replace(spec, monitoring=monitoring, retraining=parts.get("retraining", spec.retraining)))

    def document(self, policy: Model, path: Path) -> Path:
        """The policy as a document that a person writes."""
        made = {name: value for name, value in msgspec.to_builtins(policy).items() if name != "status"}
        path.write_text(json.dumps({**made, "metadata": {"name": policy.name}}))
        return path
