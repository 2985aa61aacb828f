from pathlib import Path

import pytest

from trimtab.errors import InvalidInput
from trimtab.monitoring.ports import WatchedVersion
from trimtab.monitoring.reference import read_reference
from trimtab.monitoring.references import SORTED, References

from .folders import write_folder


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> list[WatchedVersion]:
    folder = tmp_path_factory.mktemp("versions")
    return [write_folder(folder / str(number), seed=number, rows=200) for number in range(4)]


def test_those_that_were_needed_last_are_kept_within_the_room(versions: list[WatchedVersion]) -> None:
    one = SORTED * read_reference(versions[0].folder).bytes
    references = References(room=3 * one)
    first, *_ = [references.of(version) for version in versions[:3]]
    assert (references.of(versions[0]) is first, len(references)) == (True, 3)
    kept = references.of(versions[3])
    assert (len(references), references.of(versions[0]) is first, references.of(versions[3]) is kept) == (3, True, True)


def test_one_that_is_larger_than_the_room_is_kept_while_it_is_the_last(versions: list[WatchedVersion]) -> None:
    references = References(room=1)
    assert references.of(versions[0]) is references.of(versions[0])
    references.of(versions[1])
    assert len(references) == 1


def test_what_serves_no_more_goes(versions: list[WatchedVersion]) -> None:
    references = References()
    first, _ = references.of(versions[0]), references.of(versions[1])
    references.only(versions[:1])
    assert (len(references), references.of(versions[0]) is first) == (1, True)


def test_one_that_cannot_be_read_is_a_sentence_and_is_asked_for_again(tmp_path: Path) -> None:
    version = write_folder(tmp_path / "1", rows=200)
    file = tmp_path / "1" / "reference.parquet"
    good = file.read_bytes()
    file.write_bytes(good[:100])
    references = References()
    with pytest.raises(InvalidInput, match=r"reference\.parquet of the model in '1' cannot be read"):
        references.of(version)
    file.write_bytes(good)
    assert references.of(version).rows == 200
