"""kill -9 of any process in the middle of a canary: the loop ends as if nothing had happened."""

import pytest

from tests.local.laptop import DOCUMENT, Laptop, interrupt, kill

VICTIMS = ["supervisor", "predictor-load-1", "predictor-load-2", "envoy", "monitor"]
FORGIVING = DOCUMENT.format(approval="automatic").replace('errors: {margin: "+0.10"}', 'errors: {margin: "+0.50"}')
"""How many requests fail until a killed candidate is up again is a matter of the machine: a busy one had a true verdict against it."""


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_killed_process_changes_nothing_but_the_time(laptop: Laptop, victim: str) -> None:
    (laptop.folder / "forgiving.yaml").write_text(FORGIVING)
    laptop.up("forgiving.yaml")
    playing = laptop.play("--rate", "40", data="calm.csv")
    try:
        laptop.run("retrain")
        laptop.wait("the canary", lambda: (r := laptop.release("person", "Rollout")) and r["weight"] > 0)
        before = laptop.pid(victim)
        kill(before)
        if victim == "supervisor":
            laptop.wait("the end of what the supervisor started", lambda: not [p for p in laptop.processes() if p.pid != playing.pid], 20)
            laptop.up("forgiving.yaml")
        else:
            laptop.wait("its restart", lambda: laptop.status()["processes"].get(victim, before) != before, 60)
        ended = laptop.wait("the promotion", lambda: laptop.release("person", "Promoted", "RolledBack", "Failed", "Inconclusive"), 150)
        assert ended["phase"] == "Promoted", f"{ended['sentence']}\n{laptop.log()}"
    finally:
        interrupt(playing)
    by_person = [release for release in laptop.releases() if release["trigger"] == "person"]
    assert [release["version"] for release in by_person] == ["2"]
    assert laptop.ask("status")[0]["champion"] == "2"
    laptop.chain_is_whole()
    laptop.down()
    assert laptop.commands() == []
