"""What Alibi's detectors do on the simulated streams, in their cage: the joint one's power, how often the online ones cry wolf."""

from pathlib import Path

import numpy as np
from msgspec import Struct

from tests.simulation.monitoring import DECLARED, LASTED, Row, Watch, line
from tests.simulation.monitoring_worlds import SCHEMA, STREAMS, World
from trimtab.monitoring.columns import Column, Table, comparable
from trimtab.monitoring.comparing import weigh
from trimtab.monitoring.detectors.asking import caged
from trimtab.monitoring.detectors.classifier import ClassifierDrift
from trimtab.monitoring.detectors.cvm_online import CVMDriftOnline
from trimtab.monitoring.detectors.fet_online import FETDriftOnline
from trimtab.schema import PREDICTION
from trimtab.spec import Drift

CLASSIFIER = f"classifier, inputs only, effect {DECLARED:g}"
MODELS, DAYS, ROWS = 6, 3, 5000
RUN = 1000


class Alarms(Struct, frozen=True):
    """How many columns' windows of `rows` rows alarmed, of so many, where one alarm in `expected_run_time` rows was asked for."""

    detector: str
    stream: str
    windows: int
    rows: int
    expected_run_time: int
    alarms: int

    @property
    def expected(self) -> float:
        """The share of windows that alarm by chance where the expected run time holds."""
        return float(1 - (1 - 1 / self.expected_run_time) ** self.rows)

    @property
    def run_time(self) -> float:
        """After how many rows a column alarms, by the share of windows that did."""
        return float(-self.rows / np.log(max(1 - self.alarms / self.windows, 0.5 / self.windows)))


class Numbers(Struct, frozen=True):
    """All that was simulated."""

    rows: list[Row]
    joint: list[Row]
    offsets: list[Row]
    online: list[Alarms]


def classifier(python: Path) -> list[Row]:
    """ClassifierDrift on a correlation that no single input shows, and on nothing."""
    rows = []
    detector = ClassifierDrift(caged(python))
    for stream in (STREAMS[0], next(one for one in STREAMS if one.name.startswith("correlation"))):
        found = []
        for seed in range(MODELS):
            world, watch = World(stream, seed, DAYS), Watch(DECLARED)
            found.append([_inputs(world, watch, detector, day) for day in range(DAYS)])
        rows.append(line(CLASSIFIER, stream.name, stream.effect if stream.drifts else 0.0, np.array(found), ROWS, drifts=stream.drifts))
    detector.close()
    return rows


def _inputs(world: World, watch: Watch, detector: ClassifierDrift, day: int) -> int:
    reference = world.reference
    columns, left, right = comparable(SCHEMA, reference.table, world.window(day, ROWS).table)
    columns = [column for column in columns if column.of != PREDICTION]
    left, right = ({name: side[name] for name in side if name != PREDICTION} for side in (left, right))
    tests = weigh(reference, columns, detector.test(columns, left, right), left, right, LASTED, None)[0]
    return watch.look(columns, tests, dict.fromkeys(left, 0.0))


def online(python: Path, models: int = 8, days: int = 2) -> list[Alarms]:
    """The online detectors on streams that do not drift: windows of as many rows as the run time that is asked for."""
    found = []
    numbers, shares = CVMDriftOnline(caged(python)), FETDriftOnline(caged(python))
    for stream in (one for one in STREAMS if not one.drifts):
        worlds = [World(stream, seed, days) for seed in range(models)]
        references = [world.reference.table for world in worlds]
        counted = {numbers.name: [0, 0], shares.name: [0, 0]}
        for day in range(days):
            windows = [world.window(day, RUN).table for world in worlds]
            for detector, names in ((numbers, ("x0", "x1", "x2", "x3")), (shares, ("c",))):
                left, right = (_gathered(tables, names) for tables in (references, windows))
                columns = [Column(name, "number", name) for name in left]
                tests = detector.test(columns, left, right, Drift(detector=detector.name, expected_run_time=RUN))
                counted[detector.name][0] += len(tests)
                counted[detector.name][1] += sum(bool(test.alarm) for test in tests.values())
        found += [Alarms(name, stream.name, count, RUN, RUN, alarms) for name, (count, alarms) in counted.items()]
    numbers.close()
    shares.close()
    return found


def _gathered(tables: list[Table], names: tuple[str, ...]) -> Table:
    """The columns of all models side by side; of the category, whether it is its first value."""
    return {
        f"{name}.{place}": (table[name] == 0).astype(float) if name == "c" else table[name]
        for place, table in enumerate(tables)
        for name in names
    }
