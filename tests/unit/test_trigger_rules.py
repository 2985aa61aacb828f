"""What a document may say of its schedule and of the place that it watches."""

import pytest

from tests.unit.test_rules import model
from trimtab.rules import impossible
from trimtab.spec import DataWatch, Retraining, Schedule

S, W = Schedule, DataWatch
CRON = "spec.retraining.schedule.cron: found "
ZONE = "spec.retraining.schedule.timeZone: found "
CASES = (
    (Retraining(on=("schedule",), schedule=S("0 3 * * 1", "Europe/Berlin")), ""),
    (Retraining(on=("schedule", "performance"), schedule=S("*/15 8-18 * JAN,DEC MON-FRI")), ""),
    (Retraining(on=("schedule",), schedule=S("0 0 29 2 *")), ""),
    (
        Retraining(schedule=S("0 3 * * 1")),
        'spec.retraining.on: found ["performance","concept"], there is a schedule; allowed is a list with',
    ),
    (Retraining(on=("schedule",)), 'spec.retraining.on: found ["schedule"], there is no schedule; allowed is one beside it'),
    (Retraining(on=("schedule",), schedule=S("0 3 * *")), CRON + '"0 3 * *", allowed are the five fields of crontab(5)'),
    (Retraining(on=("schedule",), schedule=S("0 0 3 * * 1")), CRON + '"0 0 3 * * 1", allowed are the five fields'),
    (Retraining(on=("schedule",), schedule=S("61 3 * * *")), CRON + '"61 3 * * *", allowed are the five fields'),
    (Retraining(on=("schedule",), schedule=S("0 0 30 2 *")), CRON + '"0 0 30 2 *", allowed are the five fields'),
    (Retraining(on=("schedule",), schedule=S("0 3 * * *", "Europe/Atlantis")), ZONE + '"Europe/Atlantis", there is no such time zone'),
    (Retraining(on=("schedule",), schedule=S("0 3 * * *", "/etc/passwd")), ZONE + '"/etc/passwd", there is no such time zone'),
    (Retraining(on=("newData",)), ""),
    (Retraining(on=("newData",), new_data=W()), ""),
    (Retraining(on=("newData",), new_data=W("s3://b/x.csv", "count", "5m", 1000)), ""),
    (Retraining(new_data=W()), "spec.retraining.on: found "),
    (Retraining(on=("newData",), new_data=W(every="0s")), 'spec.retraining.newData.every: found "0s", allowed is a duration of at least'),
    (Retraining(on=("newData",), new_data=W(every="999ms")), 'spec.retraining.newData.every: found "999ms", allowed is a duration of at'),
    (Retraining(on=("newData",), new_data=W(rows=5)), "spec.retraining.newData.rows: found 5, rows are counted by: count alone"),
)


@pytest.mark.parametrize(("retraining", "sentence"), CASES)
def test_what_may_be_declared(retraining: Retraining, sentence: str) -> None:
    said = impossible(model(retraining=retraining))
    assert len(said) == bool(sentence), said
    assert all(one.startswith(sentence) for one in said)
