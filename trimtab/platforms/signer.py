"""The signer: which tags say that a version passed its gates, by the key that signs now. Pure but for the key's file.

A key is replaced by putting its signature beside the old one's, of the same statement. So servers that were told of one key only, the
old or the new, take the version either way, and the old key can go once everything that serves has the new signature.
"""

from collections.abc import Mapping
from pathlib import Path

from trimtab.errors import InvalidInput, Unavailable
from trimtab.signing import MODEL_UID_TAG, RELEASE_UID_TAG, SIGNATURE_TAGS, Statement, believed, key_id, sign, signatures, signed_by, verify
from trimtab.spec import Version


class Signer:
    """Signs with the private key in the file `key`; `certificates` (PEM) are those that servers believe, empty where that is not told."""

    def __init__(self, key: Path, certificates: str = "") -> None:
        """Nothing is read yet."""
        self._key = key
        self._certificates = certificates

    def passed(self, tags: Mapping[str, str], model_uid: str, version: Version, release_uid: str) -> dict[str, str]:
        """The tags to add to those of a version that passed the gates of the Release; none where this key signed it before.

        Raises InvalidInput where the key cannot be used, Unavailable where servers would refuse its signature.
        """
        mine = self._id()
        known = _statement(tags, model_uid, version)
        if tags.get(MODEL_UID_TAG) == model_uid:
            if signed_by(known, tags.get(f"{SIGNATURE_TAGS}{mine}", ""), self._key):
                return {}
            if self._vouched(known, tags):
                return {f"{SIGNATURE_TAGS}{mine}": sign(known, self._key)}
        statement = Statement(model_uid, version.version, version.digest, release_uid)
        return {MODEL_UID_TAG: model_uid, RELEASE_UID_TAG: release_uid, f"{SIGNATURE_TAGS}{mine}": sign(statement, self._key)}

    def renewed(self, tags: Mapping[str, str], model_uid: str, version: Version) -> dict[str, str]:
        """The tags to add to those of a version that serves already: this key's signature beside one that is believed.

        None where it is there, and where no signature of this version is believed: what no key vouched for is never signed here.
        """
        known = _statement(tags, model_uid, version)
        if tags.get(MODEL_UID_TAG) != model_uid or not self._vouched(known, tags):
            return {}
        return self.passed(tags, model_uid, version, known.release_uid)

    def _id(self) -> str:
        mine = key_id(self._key)
        if self._certificates and mine not in (known := believed(self._certificates)):
            msg = f"the signing key is {mine!r}, servers believe {', '.join(known)}: nothing is signed until they have its certificate"
            raise Unavailable(msg)
        return mine

    def _vouched(self, statement: Statement, tags: Mapping[str, str]) -> bool:
        if not self._certificates:
            return False
        try:
            verify(statement, signatures(tags), self._certificates)
        except InvalidInput:
            return False
        return True


def _statement(tags: Mapping[str, str], model_uid: str, version: Version) -> Statement:
    return Statement(model_uid, version.version, version.digest, tags.get(RELEASE_UID_TAG, ""))
