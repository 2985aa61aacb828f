"""What addresses of versions say, for everybody who is given one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import InvalidInput
from trimtab.version_uri import VersionUri, parse

DIGEST = "ab" * 32


def test_a_uri_names_a_model_a_version_and_a_digest():
    assert parse(f"mlflow://models/bike-demand/7?sha256={DIGEST}") == VersionUri("bike-demand", "7", DIGEST)
    assert parse(f"mlflow://models/crm.churn%20rate/12?sha256={DIGEST}") == VersionUri("crm.churn rate", "12", DIGEST)
    assert parse(f"file:///var/lib/a%20b/toy/3?sha256={DIGEST}", folders=True) == VersionUri("toy", "3", DIGEST, "/var/lib/a b/toy/3")


@given(st.text(min_size=1).filter(str.isprintable), st.integers(1, 10**10 - 1), st.sampled_from(["", "/a/", "/ä b/?#%/"]))
def test_what_is_written_is_what_is_read(name, number, folder):
    if folder and "/" in name:
        name = name.replace("/", "-")
    uri = VersionUri(name, str(number), DIGEST, f"{folder}{name}/{number}" if folder else "")
    assert parse(str(uri), folders=bool(folder)) == uri


BAD = [
    ("nothing", "", "names no version"),
    ("another scheme", f"s3://models/toy/7?sha256={DIGEST}", "names no version"),
    ("another authority", f"mlflow://runs/toy/7?sha256={DIGEST}", "names no version"),
    ("no version", f"mlflow://models/toy?sha256={DIGEST}", "names no version"),
    ("an alias in the place of the version", f"mlflow://models/toy/champion?sha256={DIGEST}", "names no version"),
    ("a version with a sign", f"mlflow://models/toy/-7?sha256={DIGEST}", "names no version"),
    ("a version in other digits", f"mlflow://models/toy/٧?sha256={DIGEST}", "names no version"),
    ("more than a version", f"mlflow://models/toy/7/model.json?sha256={DIGEST}", "names no version"),
    ("no name", f"mlflow://models//7?sha256={DIGEST}", "names no version"),
    ("a fragment", f"mlflow://models/toy/7?sha256={DIGEST}#x", "names no version"),
    ("a folder, where only registered versions are taken", f"file:///toy/7?sha256={DIGEST}", "names no version"),
    ("brackets that never close", "mlflow://[models/toy/7", "is no URI"),
    ("no digest", "mlflow://models/toy/7", "has no digest"),
    ("a short digest", "mlflow://models/toy/7?sha256=abc", "has no digest"),
    ("a digest in capitals", f"mlflow://models/toy/7?sha256={DIGEST.upper()}", "has no digest"),
    ("two digests", f"mlflow://models/toy/7?sha256={DIGEST}&sha256={DIGEST}", "has no digest"),
    ("a digest and an empty one", f"mlflow://models/toy/7?sha256={DIGEST}&sha256=", "has no digest"),
    ("a query that is none", f"mlflow://models/toy/7?sha256={DIGEST}&x", "is no URI"),
]


@pytest.mark.parametrize(("uri", "sentence"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_uri_that_names_no_version_is_a_sentence(uri, sentence):
    with pytest.raises(InvalidInput, match=rf"{sentence}.*mlflow://models/NAME/VERSION\?sha256=DIGEST is allowed$"):
        parse(uri)
    with pytest.raises(
        InvalidInput, match=r"mlflow://models/NAME/VERSION\?sha256=DIGEST or file:///PATH/VERSION\?sha256=DIGEST is allowed"
    ):
        parse(uri.replace("file:///", "file://host/"), folders=True)
