"""The local object store keeps the promises that an API server makes: atomic names, compare-and-swap."""

import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from trimtab.documents import parse_model
from trimtab.errors import Conflict, InvalidInput
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.spec import Champion, Model, ModelStatus

DOCUMENT = """
apiVersion: trimtab.dev/v1alpha1
kind: Model
metadata: {name: bikes}
spec: {task: regression, data: {uri: bike.csv, label: demand}}
"""


@pytest.fixture
def objects(tmp_path: Path) -> SqliteObjects:
    return SqliteObjects(tmp_path / "state.db")


def test_an_object_is_read_back_as_it_was_written_with_a_uid_and_a_version(objects: SqliteObjects) -> None:
    made = objects.create(parse_model(DOCUMENT))
    assert objects.get(Model, "default", "bikes") == made
    assert made.metadata.uid
    assert made.metadata.resource_version == "1"
    assert objects.get(Model, "default", "cars") is None


def test_a_name_is_taken_once(objects: SqliteObjects) -> None:
    objects.create(parse_model(DOCUMENT))
    with pytest.raises(Conflict, match="Model 'bikes' exists already"):
        objects.create(parse_model(DOCUMENT))


def test_of_two_writers_who_read_the_same_version_one_loses(objects: SqliteObjects) -> None:
    made = objects.create(parse_model(DOCUMENT))
    first = objects.write_status(replace(made, status=ModelStatus(champion=Champion("1", "a"))))
    with pytest.raises(Conflict, match="was changed meanwhile"):
        objects.write_status(replace(made, status=ModelStatus(champion=Champion("2", "b"))))
    assert objects.get(Model, "default", "bikes") == first


def test_two_processes_that_create_the_same_name_at_the_same_time_make_one(objects: SqliteObjects, tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from trimtab.documents import parse_model
from trimtab.errors import Conflict
from trimtab.platforms.local.objects import SqliteObjects
objects = SqliteObjects(Path({str(tmp_path / "state.db")!r}))
made = 0
for number in range(50):
    try:
        objects.create(parse_model({DOCUMENT!r}.replace("bikes", f"bikes-{{number}}")))
        made += 1
    except Conflict:
        pass
print(made)
"""
    writers = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    made = [int(writer.communicate(timeout=60)[0]) for writer in writers]
    assert sum(made) == len(objects.all_of(Model)) == 50


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match=r"cannot be written.*name another one with --state"):
        SqliteObjects(tmp_path / "file" / "state.db")
