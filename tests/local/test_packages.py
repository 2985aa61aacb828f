"""A package over a real `mlflow server` whose artifacts go through it: published, listed, fetched, and refused where it was changed."""

from pathlib import Path

import pytest

from tests.local.mlflow_server import MlflowServer
from tests.unit.platforms.test_packages import a_key, a_package
from trimtab.errors import Conflict, InvalidInput
from trimtab.package import COMPILED
from trimtab.platforms.packages import MlflowPackages


def test_a_package_goes_through_a_server_and_what_was_changed_there_is_refused(server: MlflowServer, tmp_path: Path) -> None:
    key, public = a_key(tmp_path, "ci")
    store = MlflowPackages(server.uri, tmp_path / "kept")
    made = store.publish(a_package(tmp_path / "one", "7.0.0"), key)
    assert store.publish(a_package(tmp_path / "one", "7.0.0"), key) == made
    assert made in store.published("churn")
    assert store.fetch(made, (public,))[1].commit == "c0ffee"
    with pytest.raises(Conflict, match="was published with other content"):
        store.publish(a_package(tmp_path / "other", "7.0.0", "root: {other: 1}\n"), key)
    for stored in server.home.rglob(COMPILED):
        stored.write_text("root: {evil: 1}\n")
    with pytest.raises(InvalidInput, match=r"PackageRefused: 'pipeline\.yaml' of the package churn 7\.0\.0 has SHA-256"):
        MlflowPackages(server.uri, tmp_path / "elsewhere").fetch(made, (public,))
    assert store.fetch(made, (public,))[1].commit == "c0ffee", "what is kept is as it was"
