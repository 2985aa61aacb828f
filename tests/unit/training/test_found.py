"""What the validation left is read whether a check is a sentence or a record."""

import json
from pathlib import Path

from trimtab.training.found import stops, warnings


def test_sentences_stop_and_records_say_themselves(tmp_path: Path) -> None:
    records = [{"check": "nulls", "sentence": "many nulls", "severity": "warn"}, {"check": "type", "sentence": "no number"}]
    (tmp_path / "checks.json").write_text(json.dumps(["the data is empty", *records]))
    assert stops(tmp_path) == ("the data is empty", "no number")
    assert warnings(tmp_path) == ("many nulls",)
