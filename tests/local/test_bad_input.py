"""Bad input: one clear sentence, exit code 2, and nothing half-done."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.local.laptop import DOCUMENT, FREE_PORTS, Laptop

GOOD = DOCUMENT.format(approval="automatic")
CUT = ("--from", "2026-02-10")


def rows(laptop: Laptop, text: str) -> None:
    (laptop.folder / "rows.csv").write_text(text)


def lines(laptop: Laptop) -> list[str]:
    return (laptop.folder / "rows.csv").read_text().splitlines()


def one_label(laptop: Laptop) -> None:
    head, *rest = lines(laptop)
    rows(laptop, "\n".join([head, *(line.rsplit(",", 1)[0] + ",5" for line in rest)]))


def garbage(laptop: Laptop) -> None:
    head, *rest = lines(laptop)
    rows(laptop, "\n".join([head, *(line.rsplit(",", 1)[0] + ",n/a?" for line in rest)]))


BAD_DATA = {
    "a missing label column": (lambda one: rows(one, "\n".join(lines(one)).replace(",load", ",lode", 1)), "there is no column 'load'"),
    "a label with one value": (one_label, "label 'load' has one value only"),
    "empty data": (lambda one: rows(one, lines(one)[0] + "\n"), "empty"),
    "an empty file": (lambda one: rows(one, ""), "rows.csv"),
    "a label that is garbage": (garbage, "label 'load' must be a number"),
    "no file": (lambda one: (one.folder / "rows.csv").unlink(), "no file matches"),
}


@pytest.mark.parametrize(("spoil", "sentence"), BAD_DATA.values(), ids=BAD_DATA.keys())
def test_data_that_no_version_can_come_of(fresh: Callable[..., Laptop], spoil: Callable[[Laptop], None], sentence: str) -> None:
    laptop = fresh()
    spoil(laptop)
    said = laptop.run("local", "up", "model.yaml", *CUT, *FREE_PORTS, code=2).stderr
    assert sentence in said
    nothing_was_done(laptop)


BAD_DOCUMENTS = {
    "an unknown field": (GOOD.replace("approval:", "aproval:"), "spec.aproval: unknown field"),
    "an impossible combination": (GOOD.replace("[20, 50]", "[50, 20]"), "spec.rollout.steps"),
    "a margin that cannot be shown": (GOOD.replace("+0.10", "+3"), "spec.rollout.guard.errors.margin"),
}


TRAINING, DATA = "  approval: automatic", "history: 25d"
BAD_DOCUMENTS |= {
    "a slice by a column that is not there": (
        GOOD.replace(TRAINING, f"{TRAINING}\n  training: {{slices: [region]}}"),
        "spec.training.slices[0]: there is no column of numbers or texts 'region' in the data; allowed are",
    ),
    "a sensitive attribute that is not there": (
        GOOD.replace(TRAINING, f"{TRAINING}\n  training: {{sensitive: [age]}}"),
        "spec.training.sensitive[0]: there is no column of numbers or texts 'age' in the data",
    ),
    "a gate of a feature that is not there": (
        GOOD.replace(TRAINING, f"{TRAINING}\n  gates: [{{metric: attribution_share, feature: price, max: 0.5}}]"),
        "spec.gates[0].feature: there is no feature 'price' in the data; allowed are 'hour', 'warmth', 'kind'",
    ),
    "a budget that is none": (
        GOOD.replace(TRAINING, f"{TRAINING}\n  training: {{search: {{budget: {{trials: 0}}}}}}"),
        "spec.training.search.budget.trials: found 0, allowed is a whole number of at least 1",
    ),
    "rows that are not as declared": (
        GOOD.replace(DATA, f"{DATA}, expect: [{{column: warmth, max: 20}}]"),
        "column 'warmth' is above 20 in 97 of 594 rows; at most 20 is allowed (data.expect)",
    ),
    "a column that is known too late": (
        GOOD.replace(DATA, f"{DATA}, expect: [{{column: warmth, available: false}}]"),
        "column 'warmth' is not known when a prediction is asked for (data.expect)",
    ),
}


@pytest.mark.parametrize(("document", "sentence"), BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS.keys())
def test_a_document_that_cannot_work(fresh: Callable[[str], Laptop], document: str, sentence: str) -> None:
    laptop = fresh(document)
    assert sentence in laptop.run("local", "up", "model.yaml", *CUT, *FREE_PORTS, code=2).stderr
    nothing_was_done(laptop)


def test_a_port_that_is_taken(fresh: Callable[..., Laptop]) -> None:
    laptop = fresh()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = laptop.run(
            "local", "up", "model.yaml", *CUT, "--gateway-port", port, "--events-port", "0", "--mlflow-port", "0", code=2
        ).stderr
    assert f"port {port} of gateway is taken; name another one with --gateway-port" in said
    nothing_was_done(laptop)


def test_a_state_folder_that_cannot_be_written(fresh: Callable[..., Laptop]) -> None:
    laptop = fresh()
    laptop.state = Path("/proc/trimtab")
    assert "cannot be written" in laptop.run("local", "up", "model.yaml", *CUT, *FREE_PORTS, code=2).stderr


def nothing_was_done(laptop: Laptop) -> None:
    assert laptop.commands() == []
    assert not (laptop.state / "state.db").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("status",), "there is no Trimtab state"),
        (("local", "down"), "there is no Trimtab state"),
        (("local", "play", "rows.csv"), "there is no Trimtab state"),
    ],
)
def test_commands_before_anything_was_up(fresh: Callable[..., Laptop], words: tuple[str, ...], sentence: str) -> None:
    assert sentence in fresh().run(*words, code=2).stderr


def test_what_a_running_platform_refuses(laptop: Laptop) -> None:
    laptop.up()
    changed = laptop.folder / "header.csv"
    changed.write_text((laptop.folder / "rows.csv").read_text().replace(",warmth,", ",heat,", 1))
    assert "has no column 'warmth'; its header is at, id, hour, heat" in laptop.run("local", "play", "header.csv", code=2).stderr
    assert "has no rows after" in laptop.run("local", "play", "rows.csv", "--after", "2030-01-01", code=2).stderr
    assert "'noon' is not a time" in laptop.run("local", "play", "rows.csv", "--after", "noon", code=2).stderr
    assert "no Releases are named 'nothing'" in laptop.run("why", "nothing", code=2).stderr
    assert "has ended as Promoted" in laptop.run("approve", laptop.releases()[0]["name"], code=2).stderr


def test_a_model_file_that_was_corrupted_is_not_served(laptop: Laptop) -> None:
    served = laptop.state / "versions" / "load" / "1" / "model.json"
    whole = served.read_bytes()
    files = (laptop.folder / "state" / "mlartifacts").rglob("model/model.json")  # what other tests trained alike lies there too
    stored = [file for file in files if file.read_bytes() == whole]
    assert stored
    try:
        for file in (*stored, served):
            file.write_bytes(whole.replace(b"0", b"1", 1))
        said = laptop.run("local", "up", "model.yaml", *FREE_PORTS, code=2).stderr
        assert "'model.json' of the model in" in said
        assert "the file was changed" in said
        assert laptop.commands() == []
    finally:
        for file in stored:
            file.write_bytes(whole)
