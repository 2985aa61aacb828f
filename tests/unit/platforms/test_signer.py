"""Replacing the key that signs: in whatever order its steps come, what is signed is believed, or nothing is signed."""

import itertools
from pathlib import Path

import pytest

from tests.unit.test_signing import write_key
from trimtab.errors import InvalidInput, Unavailable
from trimtab.platforms.signer import Signer
from trimtab.signing import MODEL_UID_TAG, RELEASE_UID_TAG, SIGNATURE_TAGS, Statement, key_id, signatures, verify
from trimtab.spec import Version

VERSION = Version("7", "ab" * 32)


class Keys:
    """An old and a new key, and their certificates."""

    def __init__(self, folder: Path) -> None:
        self.paths = {name: folder / f"{name}.key" for name in ("old", "new")}
        self.certificates = {name: write_key(path) for name, path in self.paths.items()}

    def signer(self, signs: str, believed: str) -> Signer:
        """`believed` names the keys, with a plus between."""
        return Signer(self.paths[signs], self.believed(believed))

    def believed(self, names: str) -> str:
        return "".join(self.certificates[name] for name in names.split("+") if name)

    def verifies(self, tags: dict[str, str], names: str) -> str:
        """The name of the key that a server which believes those keys takes the version by."""
        statement = Statement(tags[MODEL_UID_TAG], VERSION.version, VERSION.digest, tags[RELEASE_UID_TAG])
        found = verify(statement, signatures(tags), self.believed(names))
        return next(name for name, path in self.paths.items() if key_id(path) == found)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


def test_a_version_is_signed_once_a_key(keys: Keys) -> None:
    signer = keys.signer("old", "old")
    tags = signer.passed({}, "uid", VERSION, "release-1")
    assert set(tags) == {MODEL_UID_TAG, RELEASE_UID_TAG, f"{SIGNATURE_TAGS}{key_id(keys.paths['old'])}"}
    assert signer.passed(tags, "uid", VERSION, "release-2") == {}
    assert signer.renewed(tags, "uid", VERSION) == {}
    assert keys.verifies(tags, "old") == "old"


def test_a_new_key_signs_beside_the_old_one_so_that_servers_of_either_list_take_the_version(keys: Keys) -> None:
    before = keys.signer("old", "old").passed({}, "uid", VERSION, "release-1")
    added = keys.signer("new", "old+new").renewed(before, "uid", VERSION)
    assert set(added) == {f"{SIGNATURE_TAGS}{key_id(keys.paths['new'])}"}
    tags = {**before, **added}
    assert [keys.verifies(tags, name) for name in ("old", "new")] == ["old", "new"]
    later = keys.signer("new", "old+new").passed(before, "uid", VERSION, "release-2")
    assert set(later) == set(added), "the Release that it passed first is what stays said"


@pytest.mark.parametrize(
    "order", [pytest.param(order, id=", ".join(order)) for order in itertools.permutations(("believe", "sign", "withdraw"))]
)
def test_in_every_order_of_steps_nothing_is_signed_that_servers_would_refuse(keys: Keys, order: tuple[str, ...]) -> None:
    """The new key is believed, it signs, the old one is withdrawn: after each step the controller looks at a version that serves."""
    signs, believed = "old", {"old"}
    tags = keys.signer("old", "old").passed({}, "uid", VERSION, "release-1")
    for step in order:
        signs = "new" if step == "sign" else signs
        believed = believed | {"new"} if step == "believe" else believed - {"old"} if step == "withdraw" else believed
        if not believed:
            continue  # the installation serves nothing: an empty list of certificates is an error
        names = "+".join(sorted(believed))
        signer = keys.signer(signs, names)
        if signs in believed:
            tags |= signer.renewed(tags, "uid", VERSION)
            fresh = signer.passed({}, "uid", Version("8", "cd" * 32), "release-2")
            statement = Statement("uid", "8", "cd" * 32, "release-2")
            assert verify(statement, signatures(fresh), keys.believed(names)) == key_id(keys.paths[signs])
        else:
            with pytest.raises(Unavailable, match=rf"the signing key is '{key_id(keys.paths[signs])}', servers believe [0-9a-f]{{12}}"):
                signer.passed({}, "uid", Version("8", "cd" * 32), "release-2")
    assert (signs, believed) == ("new", {"new"})
    signed_in_time = order.index("withdraw") == 2
    if not signed_in_time:
        with pytest.raises(InvalidInput, match="the signature is of the key"):
            keys.verifies(tags, "new")
        tags |= keys.signer("new", "old+new").renewed(tags, "uid", VERSION)
    assert keys.verifies(tags, "new") == "new", "with the old certificate put back for a while, it heals"


def test_what_no_believed_key_vouched_for_is_never_signed_because_it_serves(keys: Keys) -> None:
    strangers = keys.signer("old", "old").passed({}, "uid", VERSION, "release-1")
    ours = keys.signer("new", "new")
    mine = ours.passed({}, "uid", VERSION, "release-1")
    for tags, why in [
        ({}, "no signature"),
        (strangers, "a key that is not believed"),
        ({**mine, RELEASE_UID_TAG: "another"}, "another Release"),
        ({**mine, MODEL_UID_TAG: "another"}, "another Model"),
    ]:
        assert ours.renewed(tags, "uid", VERSION) == {}, why
    assert ours.renewed(mine, "uid", Version("7", "cd" * 32)) == {}, "another digest"
