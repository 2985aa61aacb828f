"""The whole loop on real data, with nothing but `trimtab` commands, each shown so that a person can do the same by hand.

A first version learns from the first half of 2011. The hours that follow are played as live traffic; demand grows, the
monitor finds it, and a new version is trained, canaried and promoted. Then a model from a notebook that passes every gate, but
fails on hours that it never saw, is submitted and rolled back. Exit code 0 only if all of that happened.

`--control` plays weeks drawn again from the training period instead: nothing has changed, so nothing may be retrained.
"""

import argparse
import csv
import json
import shutil
import signal
import sys
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

from demo_driver import OUT, STATE, TERMINAL, Background, Driver, LoopOpen, Release, console, summary

HERE = Path(__file__).parent
DOCUMENT = HERE / "model.yaml"
DATA, CONTROL = Path("build/bike-demand/bike.csv"), Path("build/bike-demand/control.csv")
REPORT = OUT / "report.html"
FROM = "2011-07-01"
FOUND = ("performance", "concept")
RETRAINING = ("Training", "Rollout", "Baking")
QUIET, CANARY, SLOW = 1.0, 0.5, 0.01
"""The pace, as a share of --rate: while nothing is under way, during a rollout and its bake, and while a run is training."""


def begin(driver: Driver, data: Path) -> None:
    """Data, a clean folder, and everything up with its first version."""
    driver.run("python", HERE / "prepare.py", "--out", DATA)
    if data == CONTROL:
        driver.run("python", HERE / "prepare.py", "--control", "--out", CONTROL)
    if (STATE / "state.db").exists():
        driver.run("trimtab", "local", "down", "--state", STATE)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    ports = [word for name in ("gateway", "events", "mlflow") for word in (f"--{name}-port", "0")]
    driver.run("trimtab", "local", "up", DOCUMENT, "--from", FROM, "--state", STATE, *ports)
    driver.tell(driver.ask("releases"), quiet=True)


class Story:
    """The demo proper: from the first drift to the bad candidate's end."""

    def __init__(self, driver: Driver, rate: float) -> None:
        self.driver, self.rate, self.quiet = driver, rate, QUIET
        self.notebook: Background | None = None

    def _pace(self, releases: list[Release]) -> None:
        """Play as fast as what is under way can use: training takes wall time, a canary and a bake take requests."""
        active = next((one for one in releases if one["phase"] not in (*TERMINAL, "Pending")), None)
        share = self.quiet if active is None else CANARY if active["phase"] in ("Rollout", "Baking") else SLOW
        self.driver.play(DATA, self.rate * share)

    def tell(self) -> tuple[Release, Release]:
        """The retrained Release and the rolled-back one; raises LoopOpen where the loop stays open."""
        driver = self.driver
        driver.play(DATA, self.rate)
        driver.wait("the monitor to find that the first version got worse", self._baking, no_promotion)
        self._submit()
        retrained = driver.wait("the bake of the new version", self._promoted, no_promotion)
        send_again(driver, retrained)
        return retrained, driver.wait("the judge's word on the notebook's model", self._ended, no_rollback)

    def _baking(self, releases: list[Release]) -> Release | None:
        found = next((one for one in releases if one["trigger"] in FOUND and one["phase"] in ("Baking", "Promoted")), None)
        if found is None:
            self._pace(releases)
        return found

    def _promoted(self, releases: list[Release]) -> Release | None:
        self.quiet = SLOW
        found = next((one for one in releases if one["trigger"] in FOUND and one["phase"] == "Promoted"), None)
        if found is None and self.notebook and self.notebook.process.poll() is not None:
            self._pace(releases)
        return found

    def _ended(self, releases: list[Release]) -> Release | None:
        found = next((one for one in releases if one["trigger"] == "person"), None)
        if found and found["phase"] in TERMINAL:
            return found
        self._pace(releases)
        if found is None and self.notebook and self.notebook.process.poll():
            msg = f"no rollback: notebook_model.py broke off: {self.notebook.last_word()}"
            raise LoopOpen(msg)
        return None

    def _submit(self) -> None:
        """The bad candidate is made beside the bake; its Release waits until the one before it has ended."""
        self.driver.play(DATA, self.rate * SLOW)
        cut = self.driver.played()["data_time"].removesuffix("Z")
        self.notebook = self.driver.start("notebook", "python", HERE / "notebook_model.py", "--state", STATE, "--cut", cut)


def no_promotion(releases: list[Release]) -> str:
    asked = [one for one in releases if one["trigger"] in FOUND]
    if not asked:
        return "no drift was found"
    last = next((one for one in reversed(asked) if one["version"]), asked[0])
    return f"no promotion: {last['name']} is {last['phase']} ({last['sentence']})"


def no_rollback(releases: list[Release]) -> str:
    found = next((one for one in releases if one["trigger"] == "person"), None)
    return f"no rollback: the notebook's model is {found['phase']} ({found['sentence']})" if found else "no rollback: there is no candidate"


def send_again(driver: Driver, release: Release) -> None:
    """Post the finding's event a second time, as a network that repeats itself does; it must make no second Release."""
    request = driver.ask("why", release["name"])["request"]
    before = {one["name"] for one in driver.ask("releases")}
    url = driver.ask("local", "status")["endpoints"]["events"]
    event = {
        "specversion": "1.0",
        "type": "dev.trimtab.finding.v1",
        "id": request["id"],
        "source": request["source"],
        "data": request["event"],
    }
    headers = {"content-type": "application/cloudevents+json", "authorization": f"Bearer {(STATE / 'secret').read_text().strip()}"}
    driver.say(f"$ curl {url} -H 'authorization: Bearer ...' -d '(the finding {request['id'][:8]}... once more)'", "bold")
    try:
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(event).encode(), headers), timeout=30) as answer:  # noqa: S310
            status = answer.status
    except urllib.error.HTTPError as error:
        msg = f"the duplicate of the finding was refused with {error.code}: {error.read().decode(errors='replace')[:200]}"
        raise LoopOpen(msg) from error
    for name in {one["name"] for one in driver.ask("releases")} - before:
        again = driver.ask("why", name)["request"]
        if (again["source"], again["id"]) == (request["source"], request["id"]):
            msg = f"a duplicate made a second Release: {name} beside {release['name']}"
            raise LoopOpen(msg)
    driver.say(f"answered {status}; that finding still has one Release: {release['name']}")


def conclude(driver: Driver, retrained: Release, bad: Release) -> None:
    """Stop the play, show what `trimtab` says of it all, and hold the numbers against what was promised."""
    driver.stop_play()
    played = driver.played()
    driver.run("trimtab", "status", "--state", STATE)
    for release in (retrained, bad):
        driver.run("trimtab", "why", release["name"], "--state", STATE)
    found = driver.ask("local", "report", "--out", REPORT)
    sent = played["next_row"] - first_row()
    lost = max(0, sent - found["keys"])
    pair = next((one for one in found["paired"] if one["release"] == retrained["name"]), None)
    summary(driver, [retrained, bad], found)
    versions = {one["version"]: one for one in found["versions"]}
    mistakes = versions.get(bad["version"], {}).get("withoutPrediction", 0)
    console.print(f"requests      {sent:,} sent, {lost} lost; asked again {played['retried']} times")
    console.print(f"blast radius  {mistakes} requests of {found['requests']:,} got no prediction because of version {bad['version']}")
    if pair:
        gain = 1 - pair["afterError"] / pair["beforeError"]
        numbers = f"{pair['metric']} {pair['afterError']:.1f} against {pair['beforeError']:.1f}: {gain:.0%} lower"
        console.print(
            f"new champion  version {pair['after']} against {pair['before']} on the {pair['rows']} hours after its promotion: {numbers}"
        )
    console.print(f"cost          {driver.elapsed:.0f} s, {driver.memory.peak / 2**30:.1f} GB at the peak")
    console.print(f"report        {REPORT}")
    others = sum(one["withoutPrediction"] for one in found["versions"]) - mistakes
    complaints = [
        (bad["phase"] != "RolledBack", f"no rollback: the notebook's model ended as {bad['phase']}: {bad['sentence']}"),
        (bad["reason"] != "Harm", f"no rollback by the judge: the reason is {bad['reason']}: {bad['sentence']}"),
        (lost > 0, f"{lost} requests were lost: they were sent, and the monitor never heard of them"),
        (others > 0, f"{others} requests to other versions than the bad candidate got no prediction"),
        (pair is None, "the new champion could not be compared with the stale one"),
        (pair is not None and pair["afterError"] >= pair["beforeError"], "the new champion is not better than the stale one"),
    ]
    for wrong, sentence in complaints:
        if wrong:
            raise LoopOpen(sentence)


def first_row() -> int:
    """The place of the first row that is played, in time order."""
    with DATA.open(newline="") as lines:
        return sum(row["timestamp"] <= f"{FROM}T00:00:00" for row in csv.DictReader(lines))


def control(driver: Driver, rate: float) -> None:
    """Play everything, wait until the last window is judged; no finding may have asked for a new version."""
    driver.play(CONTROL, rate)

    def asked(releases: list[Release]) -> Release | None:
        return next(
            (one for one in releases if one["trigger"] != "recipe" and (one["trigger"] in FOUND or one["phase"] in RETRAINING)), None
        )

    try:
        wrong = driver.wait("the end of the rows; nothing may ask for a new version", asked, lambda _: "nothing was asked for")
    except LoopOpen:
        if not driver.over():
            raise
    else:
        msg = f"a false alarm: {wrong['name']} was asked for by {wrong['trigger']}: {wrong['request']}"
        raise LoopOpen(msg)
    found = driver.ask("local", "report", "--out", REPORT)
    if not found["judged"]:
        msg = f"no window was judged of {found['windows']}: the control says nothing"
        raise LoopOpen(msg)
    kinds = Counter(one["kind"] for one in found["findings"])
    watched = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "none"
    console.print(f"{found['judged']} of {found['windows']} windows were judged; findings, all of them only watched: {watched}")
    console.print(f"report        {REPORT}")


def main() -> None:
    """Exit code 0: the loop closed. 1: it did not, and one sentence says where. 130: interrupted; nothing is left running."""
    parser = argparse.ArgumentParser(description="Show the whole loop.")
    parser.add_argument("--rate", type=float, default=300.0, help="rows a second while nothing is under way")
    parser.add_argument("--limit", type=float, default=400.0, help="seconds after which the demo gives up")
    parser.add_argument("--keep", action="store_true", help="leave everything up at the end")
    parser.add_argument("--control", action="store_true", help="play data in which nothing changes: nothing may be retrained")
    given = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    driver, code = Driver(given.limit, 15.0 if given.control else 30.0), 0
    try:
        begin(driver, CONTROL if given.control else DATA)
        if given.control:
            control(driver, given.rate)
        else:
            conclude(driver, *Story(driver, given.rate).tell())
        driver.say("the loop closed" if not given.control else "nothing changed, and nothing was retrained", "bold green")
    except LoopOpen as error:
        console.print(f"error: {error}", style="bold red", markup=False)
        code = 1
    except KeyboardInterrupt:
        code = 130
    finally:
        driver.end(keep=given.keep)
    sys.exit(code)


if __name__ == "__main__":
    main()
