"""Versions that mean harm, a program that is killed, a disk that is full: nothing half-placed, nothing outside, and the reason."""

import re
import signal
import sys
from pathlib import Path

import pytest

from serving.fetch.__main__ import main
from tests.local.fetch_bench import PROGRAM, Bench
from trimtab.errors import InvalidInput
from trimtab.fetching import EXIT_CODES
from trimtab.manifest import sha256, verify

# Ends itself without a word before the n-th thing that it does with files of the folder.
KILLED = """
import os, runpy, signal, sys
left, folder = int(sys.argv.pop(1)), sys.argv[2]
def seen(event, arguments):
    global left
    if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree") and folder in str(arguments[0]):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(seen)
runpy.run_module("serving.fetch", run_name="__main__", alter_sys=True)
"""


def whole(folder: Path, digest: str) -> bool:
    """Whether the folder holds the version; raises where it says that it does and does not."""
    if not (folder / "manifest.json").exists():
        with pytest.raises(InvalidInput, match=r"has no manifest\.json"):
            verify(folder, digest)
        return False
    verify(folder, digest)
    return True


def test_wherever_it_is_killed_the_folder_holds_the_version_or_says_that_it_does_not(bench: Bench) -> None:
    environment = {"TRIMTAB_TRACKING_URI": bench.shop.server.uri}
    code, point, ended = -signal.SIGKILL, 0, []
    while code == -signal.SIGKILL:
        point += 1
        bench.models = bench.folder / f"models-{point}"
        code, said = bench.fetch(program=(sys.executable, "-c", KILLED, str(point)), signed=False)
        ended.append(whole(bench.models, bench.version.digest))
        assert main([bench.uri, str(bench.models)], environment) == 0, "the next one takes it up"
        assert whole(bench.models, bench.version.digest)
        assert not list(bench.models.glob(".trimtab-fetch-*"))
    assert code == 0, said
    assert point > 20
    assert ended == sorted(ended), "once it is whole it stays so"


HOSTILE = [
    ("a path that leads out", "../outside.json", "InvalidVersion: manifest.json of version .* names the file '../outside.json'"),
    ("a path from the root", "/srv/outside.json", "InvalidVersion: .* names the file '/srv/outside.json'"),
    ("a path that leads out and in again", "a/../../models/x", "InvalidVersion: .* names the file"),
    ("the manifest itself", "manifest.json", "InvalidVersion: .* names the file 'manifest.json'"),
    ("a file that is also a folder", "model.json/x", "InvalidVersion: .* names 'model.json' as a file and as a folder"),
    ("a file that is not there", "model.ubj", "DigestMismatch: 'model.ubj' of version .* is missing from MLflow's artifacts"),
]


@pytest.mark.parametrize(("name", "sentence"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_a_manifest_that_lists_what_it_must_not_is_refused_and_nothing_is_written(bench: Bench, name: str, sentence: str) -> None:
    digest = sha256(bench.shop.file(bench.run, "model.json"))
    bench.relist({"model.json": digest, name: digest})
    code, said = bench.fetch(signed=False)
    assert re.match(sentence, said), said
    assert code == EXIT_CODES[said.split(":")[0]]
    assert [path.name for path in bench.folder.rglob("*")] == ["models"]


def test_a_link_that_was_planted_is_replaced_and_not_followed(bench: Bench) -> None:
    outside = bench.folder / "outside"
    outside.mkdir()
    (outside / "schema.json").write_text("mine")
    bench.models.mkdir()
    (bench.models / "schema.json").symlink_to(outside / "schema.json")
    code, said = bench.fetch()
    assert code == 0, said
    assert not (bench.models / "schema.json").is_symlink()
    assert [path.name for path in outside.iterdir()] == ["schema.json"]
    assert (outside / "schema.json").read_text() == "mine"


def test_a_disk_that_is_full_is_its_own_reason_and_not_the_servers(bench: Bench) -> None:
    code, said = bench.fetch(program=("sh", "-c", 'ulimit -f 1; exec "$@"', "sh", *PROGRAM), signed=False)
    assert re.match(r"NoSpace: the files cannot be written to '.*': File too large$", said), said
    assert code == EXIT_CODES["NoSpace"]
    assert list(bench.models.iterdir()) == []
