"""The loop's ports with somebody watching: every call has a name and may be disturbed just before it takes effect, or just after."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from trimtab.errors import Unavailable

Disturbance = Callable[[], None]

PLACES = (
    "objects.write_status Model",
    "objects.write_status Release",
    "objects.create Release",
    "ledger.append",
    "runner.submit",
    "serving.observe",
    "serving.apply",
    "serving.smoke",
    "traffic.arms",
    "registry.outcome",
    "registry.sign",
    "registry.project",
    "monitor.paired",
)
"""Where the loop may be disturbed: the calls by which it acts, and those whose answers it decides on."""


class Crash(BaseException):
    """The loop's process dies here."""


class Planned(Struct):
    """What will happen at the `left`-th call from now at that place, before or `late`, after it."""

    place: str
    left: int
    what: str
    late: bool
    do: Disturbance


class Watch:
    """Sees every call; what was planned for it happens once."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.happened: Counter[tuple[str, str]] = Counter()
        self.planned: list[Planned] = []

    def plan(self, place: str, left: int, what: str, do: Disturbance, *, late: bool) -> None:
        """Let it happen at the `left`-th call from now at that place."""
        self.planned.append(Planned(place, left, what, late, do))

    def around(self, place: str, call: Callable[[], Any]) -> Any:
        """The call's answer, with whatever was planned for it."""
        self.calls[place] += 1
        due = [one for one in self.planned if one.place == place]
        for one in due:
            one.left -= 1
        due = [one for one in due if one.left <= 0]
        self.planned = [one for one in self.planned if one.left > 0]
        self._happen(place, [one for one in due if not one.late])
        found = call()
        self._happen(place, [one for one in due if one.late])
        return found

    def _happen(self, place: str, due: list[Planned]) -> None:
        for one in due:
            self.happened[(place, one.what)] += 1
            one.do()


class Watched:
    """One port as the loop has it; all of its calls go through the watch."""

    def __init__(self, watch: Watch, name: str, port: Any) -> None:
        self._watch, self._name, self._port = watch, name, port

    def __getattr__(self, method: str) -> Any:
        real = getattr(self._port, method)

        def called(*args: Any, **kwargs: Any) -> Any:
            of = f" {type(args[0]).__name__}" if self._name == "objects" and method in ("write_status", "create") else ""
            return self._watch.around(f"{self._name}.{method}{of}", lambda: real(*args, **kwargs))

        return called


def crash() -> None:
    """The loop's process dies."""
    raise Crash


def fail() -> None:
    """The port does not answer."""
    msg = "the test says so"
    raise Unavailable(msg)
