"""The port `Places` on a laptop: a short process looks, so that a network that hangs holds up nothing. The loop only asks how it stands."""

import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec import Struct

from trimtab.errors import InvalidInput, TrimtabError, Unavailable
from trimtab.platforms import looking
from trimtab.platforms.local.state import State
from trimtab.retraining.newdata import Seen
from trimtab.spec import Model

WITHIN_SECONDS = 300.0
"""How long a look may take; then its process is ended."""
AGAIN = timedelta(minutes=1)
"""How soon a look that failed is repeated, where the place is not looked at more often anyway."""


class _Look(Struct):
    """The newest look at a Model's place: the process while it runs, then what was seen or why nothing was."""

    place: str
    began: datetime
    process: "subprocess.Popen[str] | None"
    deadline: float
    seen: Seen | None = None
    fault: TrimtabError | None = None


class LocalPlaces:
    """Looks at the places of all Models of one state folder, each in a process of its own."""

    def __init__(self, state: State, clock: Callable[[], datetime]) -> None:
        """`clock` gives the wall time."""
        self._state, self._clock = state, clock
        self._looks: dict[str, _Look] = {}

    def look(self, model: Model) -> Seen | None:
        """What was seen last; begins the next look where it is due. Raises what the last look failed by."""
        place, every, environment = looking.question(model)
        last = self._looks.get(model.metadata.uid)
        if last and last.process:
            self._read(last)
        if (last is None or last.process is None) and self._due(model, place, every, last):
            last = self._looks[model.metadata.uid] = self._begin(place, environment)
        if last is None or last.place != place:
            return None
        if last.fault:
            raise last.fault
        return last.seen

    def close(self) -> None:
        """End what is under way."""
        for one in self._looks.values():
            if one.process:
                one.process.kill()
                one.process.communicate()

    def _due(self, model: Model, place: str, every: timedelta, last: _Look | None) -> bool:
        """By the status, which survives a restart, and by what was tried since."""
        known, now = model.status.watched, self._clock()
        if last and last.place == place and last.fault:
            return now >= last.began + min(every, AGAIN)
        moments = [known.seen_at] if known and known.place == place else []
        moments += [last.began] if last and last.place == place else []
        return not moments or now >= max(moments) + every

    def _begin(self, place: str, environment: dict[str, str]) -> _Look:
        process = subprocess.Popen(
            looking.COMMAND,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**self._state.environment, **environment},
        )
        return _Look(place, self._clock(), process, time.monotonic() + WITHIN_SECONDS)

    def _read(self, one: _Look) -> None:
        """Take the answer of a process that has ended; end one that takes too long."""
        process = one.process
        if process is None or (process.poll() is None and time.monotonic() < one.deadline):
            return
        late = process.poll() is None
        process.kill()
        said, one.process = process.communicate()[0], None
        try:
            if late:
                msg = f"retraining.newData: the place did not answer within {WITHIN_SECONDS:g} s"
                raise Unavailable(msg)
            one.seen = looking.seen(one.place, said, one.began)
        except (InvalidInput, Unavailable) as error:
            one.fault = error
