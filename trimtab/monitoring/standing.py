"""How a version stands, in a word and a sentence: what a person asks first. Pure.

`quality`: its data is broken; `performance`, `concept`, `explanation`, `covariate`, `prediction`: there is a finding of that kind (the
worst's) within the windows that persistence looks at; `watch`: columns moved in the newest tested window; `none`: none did; `unknown`: no
window was tested.
"""

from collections.abc import Sequence

from msgspec import Struct

from trimtab.events import Finding
from trimtab.monitoring.deciding import Drift
from trimtab.monitoring.records import WindowRecord
from trimtab.units import Persistence

STATES = ("quality", "performance", "concept", "explanation", "covariate", "prediction", "watch", "unknown", "none")
"""What a platform engineer should look at first comes first."""


class Standing(Struct, frozen=True):
    """A word of STATES, and why."""

    state: str
    sentence: str


def standing(
    version: str | None,
    rule: Persistence,
    tested: WindowRecord | None,
    last: int,
    findings: Sequence[Finding],
    broken: Sequence[Finding],
) -> Standing:
    """How the version stands by its newest tested window and its findings (oldest first).

    `last` is the number of its newest window, tested or not; `broken` are the open findings of its data.
    """
    if broken:
        return Standing("quality", broken[-1].sentence)
    if version is None:
        return Standing("unknown", "no version serves yet")
    if tested is None:
        return Standing("unknown", f"no window of version {version} was tested yet")
    lasting = [one for one in findings if one.version == version and one.window > last - rule.windows and one.kind != "quality"]
    if lasting:
        worst = min(reversed(lasting), key=lambda one: STATES.index(one.kind))
        return Standing(worst.kind, worst.sentence)
    said = moved(tested)
    return Standing("watch", f"{said.sentence}, not yet for good") if said.state == "watch" else said


def moved(record: WindowRecord) -> Standing:
    """What the test of one window says by itself."""
    drift = record.drift or Drift()
    if drift.failed:
        return Standing("unknown", f"window {record.window} of version {record.version}: {drift.failed}")
    found = {name: check.effect for name, check in drift.columns.items() if check.moved}
    if not found:
        return Standing("none", f"none of {len(drift.columns)} columns of version {record.version} moved in window {record.window}")
    name = max(found, key=lambda column: found[column])
    words = f"{len(found)} of {len(drift.columns)} columns of version {record.version} moved in window {record.window}"
    return Standing("watch", f"{words}, {name!r} the most (effect {found[name]:.2f})")
