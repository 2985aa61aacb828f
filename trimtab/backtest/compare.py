"""All policies over one history, side by side.

Lives and fits are spread over two processes; versions of the same cut are fitted once, whoever asks for them. The same input makes the same
output: nothing in it is measured in wall time.
"""

import logging
import multiprocessing
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from trimtab.backtest.history import History, moment, read_history
from trimtab.backtest.life import Life, Lived
from trimtab.backtest.policies import NEVER, OWN, clocks, evenly, freely, offline
from trimtab.backtest.told import Comparison, Course, told
from trimtab.backtest.workshop import Workshop
from trimtab.errors import InvalidInput
from trimtab.monitoring.detectors import Detector
from trimtab.spec import Model

FIRST_SHARE = 0.25
WORKERS = 2
MakeDetector = Callable[[], Detector]
Tell = Callable[[str], None]
_KEPT: dict[str, tuple[History, Detector]] = {}


class _Place(Struct, frozen=True):
    """What each process needs: the Model, the first cut, and the folder of what was made."""

    model: Model
    start: datetime
    folder: Path
    detector: MakeDetector


def compare(
    model: Model, start: datetime | None, detector: MakeDetector, trials: int = 1, tell: Tell = lambda _: None, keep: Path | None = None
) -> Comparison:
    """Live all policies. `start` is the first cut, by default where a quarter of the rows is known; `tell` hears of each that is done.

    `keep` is a folder for what was made, so that another policy's backtest need not make it again. Raises InvalidInput where the data
    cannot be played, or no first version can be made of it.
    """
    given, model = model, offline(model, trials)
    history = read_history(model.spec.data)
    start = start or moment(history.times[int(len(history) * FIRST_SHARE)])
    end = moment(history.times[-1])
    if history.after(start.timestamp()) >= len(history):
        msg = f"no row is later than {start:%Y-%m-%d %H:%M}, the first cut; the last one is of {end:%Y-%m-%d %H:%M}"
        raise InvalidInput(msg)
    with tempfile.TemporaryDirectory(prefix="trimtab-backtest-") as scratch:
        place = _Place(model, start, keep or Path(scratch), detector)
        place.folder.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
            courses = _courses(pool, place, end, tell)
        return told(given, history, start, courses, trials)


def _courses(pool: ProcessPoolExecutor, place: _Place, end: datetime, tell: Tell) -> list[Course]:
    """Each policy's course, in the order in which they are told; a clock with as many retrains as the document's policy before it."""
    own = pool.submit(_live, place, place.model)
    never = pool.submit(_live, place, freely(place.model))
    asks = clocks(place.start, end)
    made: dict[datetime, Future[Path | None]] = {}
    _fits(pool, place, (place.start, *(cut for moments in asks.values() for cut in moments)), made)
    found = [Course(NEVER, lived=_done(NEVER, never, tell))]
    lived = _done(OWN, own, tell)
    many = len(lived.retrains)
    if many:
        days = (end - place.start).total_seconds() / 86_400 / (many + 1)
        asks[f"every {days:.0f} days"] = evenly(many, place.start, end)
        _fits(pool, place, [cut for moments in asks.values() for cut in moments], made)
    for name, moments in asks.items():
        fits = [(cut, made[cut].result()) for cut in (place.start, *moments)]
        tell(name)
        found.append(Course(name, fits=fits))
    return [*found, Course(OWN, lived=lived)]


def _done(name: str, future: "Future[Lived]", tell: Tell) -> Lived:
    lived = future.result()
    tell(name)
    return lived


def _fits(pool: ProcessPoolExecutor, place: _Place, cuts: Iterable[datetime], made: "dict[datetime, Future[Path | None]]") -> None:
    for cut in sorted(set(cuts) - made.keys()):
        made[cut] = pool.submit(_fit, place, cut)


def _fit(place: _Place, cut: datetime) -> Path | None:
    """What a clock's run fits at a cut; None where the data cannot be trained on."""
    logging.disable(logging.WARNING)
    return Workshop(place.model, place.folder).fit(cut, "holdout", None).folder


def _live(place: _Place, model: Model) -> Lived:
    """One life, in a process that keeps its history and its detector for the next."""
    logging.disable(logging.WARNING)
    if "kept" not in _KEPT:
        _KEPT["kept"] = (read_history(model.spec.data), place.detector())
    history, detector = _KEPT["kept"]
    with tempfile.TemporaryDirectory(dir=place.folder) as own:
        return Life(history, model, Workshop(place.model, place.folder), detector, Path(own), place.start, ()).live()
