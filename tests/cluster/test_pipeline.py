"""The pipeline itself goes to production: from a commit to a champion without a hand; what is bad is stopped where it should be.

The tests of this file are one story in their order. The repository is the one that `trimtab pipeline init` writes; IMAGE_BUILD and
IMAGE_EXISTS (`make test-cluster` gives them) are the commands that build an image where the cluster finds it.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.tools import eventually, kubectl, needs_cluster
from tests.cluster.world import TERMINAL, Player, World, fresh
from tests.local.laptop import TRIMTAB
from tests.unit.platforms.test_packages import a_key

pytestmark = [needs_cluster, pytest.mark.timeout(900)]
NAME = fresh("lines")
"""What was published is never forgotten, and an MLflow server may outlive a test."""
CANARY, BAKE, SLOW = 60.0, 120.0, 2.0
CAPS = "CENTRE = (0.005, 0.995)"
CHANGED = "CENTRE = (0.004, 0.996)"
WRITTEN = "    write(cleaned(table, kept, holdout(table, spec.data)[0].trained), Path(dataset.path), Path(prepared.path))"
HALVED = """    import pyarrow.compute as pc

    made = cleaned(table, kept, holdout(table, spec.data)[0].trained)
    place = made.schema.get_field_index(spec.data.label)
    field = made.schema.field(place)
    half = pc.cast(pc.multiply(made.column(place), 0.5), field.type, safe=False)
    write(made.set_column(place, field, half), Path(dataset.path), Path(prepared.path))"""
SLOWED = f"    import time\n\n    time.sleep(0.02 * table.num_rows)\n{WRITTEN}"
IMPORTABLE = 'RUN python -c "from steps import cleaning, prepare"'


class Repository:
    """A pipeline's repository under git, changed and put through its CI."""

    def __init__(self, folder: Path, key: Path) -> None:
        self.folder, self.key = folder, key
        done = subprocess.run([TRIMTAB, "pipeline", "init", str(folder), "--name", NAME], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        settings = folder / "pyproject.toml"
        text = re.sub(r"^digest = .*\n", "", settings.read_text(), flags=re.MULTILINE)
        for name in ("build", "exists"):
            told = f"{name} = {json.dumps(os.environ[f'IMAGE_{name.upper()}'])}"
            text = re.sub(rf"^{name} = .*$", lambda _, told=told: told, text, flags=re.MULTILINE)
        settings.write_text(text)
        self._git("init", "--quiet")
        self._commit("a pipeline")

    def change(self, version: str, path: str, old: str, new: str) -> None:
        """Commit one change as a new version."""
        file, settings = self.folder / path, self.folder / "pyproject.toml"
        assert old in file.read_text(), f"{old!r} is not in {path}"
        file.write_text(file.read_text().replace(old, new, 1))
        settings.write_text(re.sub(r'^version = ".*"$', f'version = "{version}"', settings.read_text(), flags=re.MULTILINE))
        self._commit(version)

    def back(self) -> None:
        """Undo the last change."""
        self._git("revert", "--no-edit", "HEAD")

    def ci(self, tracking_uri: str) -> tuple[int, dict[str, str], str]:
        """Its exit code, each stage's verdict, and all that it said."""
        words = [TRIMTAB, "pipeline", "ci", str(self.folder), "--key", str(self.key), "--tracking-uri", tracking_uri]
        done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
        report = json.loads((self.folder / "report" / "report.json").read_text())
        said = f"{done.stdout}\n{done.stderr}"
        return done.returncode, {one["stage"]: one["verdict"] for one in report["stages"]}, said

    def _commit(self, message: str) -> None:
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", message)

    def _git(self, *words: str) -> None:
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        subprocess.run(["git", *who, *words], cwd=self.folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return a_key(tmp_path_factory.mktemp("key"), "ci")


@pytest.fixture(scope="module")
def repository(key: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("repository") / NAME, key[0])


@pytest.fixture(scope="module")
def world(installation: None, key: tuple[Path, str]) -> Iterator[World]:
    del installation
    world = World(fresh("lines")).prepare().connect()
    spec = world.document["spec"]
    spec["training"] = {**spec.get("training", {}), "pipeline": {"name": NAME, "channel": "stable"}}
    spec["pipelinePolicy"] = {"keys": [key[1]]}
    spec["retraining"] = {"on": ["newData"]}
    spec["rollout"]["bake"] = {**spec["rollout"].get("bake", {}), "duration": "1d"}
    yield world
    world.delete()


@pytest.fixture(scope="module")
def player(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Player]:
    player = Player(world, tmp_path_factory.mktemp("play"))
    yield player
    player.stop()


def made_by(world: World) -> str:
    """The version of the pipeline that made the champion."""
    return str(world.model().get("status", {}).get("champion", {}).get("pipeline", {}).get("version", ""))


def trial(world: World, version: str) -> dict[str, Any] | None:
    """The Release that tries the version of the pipeline."""
    asked = [one for one in world.releases() if one["spec"]["request"].get("pipeline", {}).get("version") == version]
    return asked[0] if asked else None


def ended(world: World, player: Player, version: str) -> dict[str, Any]:
    """The trial of the version once it has ended, with callers all the while."""

    def look() -> dict[str, Any] | None:
        assert not player.broken, player.broken
        found = trial(world, version)
        phase = found.get("status", {}).get("phase", "Pending") if found else ""
        player.play({"Rollout": CANARY, "Baking": BAKE}.get(phase, SLOW))
        return found if phase in TERMINAL else None

    with world.telling():
        return eventually(f"the end of the trial of {version}", look, 600, 1.0)


def rollout(version: str, world: World) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        kubectl("get", "ttp", f"{NAME}-stable-{version.replace('.', '-')}", "-n", world.namespace, "-o", "json")
    )
    return found


def nothing_differs(world: World) -> None:
    """`kubectl diff` of the user's manifest is empty; it would end with 1."""
    words = ("diff", "--server-side", "--field-manager", "a-person", "-f", "-")
    done = subprocess.run(
        ["kubectl", *words], input=yaml.safe_dump(world.document), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_a_first_version_is_made_by_what_ci_published(world: World, repository: Repository) -> None:
    code, stages, said = repository.ci(world.mlflow.again())
    assert code == 0, said
    assert set(stages.values()) == {"passed"}, said
    world.apply()
    with world.telling():
        eventually("the end of the first Release", lambda: world.phase("recipe") in TERMINAL, 300, 1.0)
        assert world.phase("recipe") == "Promoted"
    assert made_by(world) == "1.0.0"
    nothing_differs(world)


def test_a_change_of_a_component_goes_from_commit_to_champion_without_a_hand(world: World, repository: Repository, player: Player) -> None:
    repository.change("1.1.0", "steps/cleaning.py", CAPS, CHANGED)
    code, _, said = repository.ci(world.mlflow.again())
    assert code == 0, said
    release = ended(world, player, "1.1.0")
    assert release["status"]["phase"] == "Promoted", world.story()
    assert made_by(world) == "1.1.0"
    with world.telling():
        eventually("the end of the roll-out", lambda: rollout("1.1.0", world)["status"]["phase"] == "Complete", 90)
    assert player.counts.failed == 0, f"requests failed: {player.counts.codes}"
    nothing_differs(world)


STOPPED_BY_CI = {
    "breaks the contract": ("1.2.0", "pipeline.py", "evaluate(**common, dataset=data", "evaluate(**common, dataset=rows", "contract"),
    "fails a component test": ("1.2.1", "steps/cleaning.py", "high + (high - low)", "high", "tests"),
}


@pytest.mark.parametrize("change", STOPPED_BY_CI.values(), ids=STOPPED_BY_CI.keys())
def test_what_ci_stops_is_never_published(world: World, repository: Repository, change: tuple[str, str, str, str, str]) -> None:
    version, path, old, new, stage = change
    repository.change(version, path, old, new)
    try:
        code, stages, said = repository.ci(world.mlflow.again())
    finally:
        repository.back()
    assert code == 1, said
    assert stages[stage] == "failed", said
    assert stages.get("publish", "skipped") == "skipped", said
    assert version not in listed(world)
    assert made_by(world) == "1.1.0"


def listed(world: World) -> str:
    """What `trimtab pipeline list` says of the pipeline."""
    command = [TRIMTAB, "pipeline", "list", NAME, "--tracking-uri", world.mlflow.again(), "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


STOPPED_BY_TRIAL = {
    "makes worse models": ("1.3.0", "steps/prepare.py", WRITTEN, HALVED, "Rejected", "quality"),
    "is ten times slower": ("1.4.0", "steps/prepare.py", WRITTEN, SLOWED, "Rejected", "training_time"),
    "has an image that does not start": ("1.5.0", "Dockerfile", IMPORTABLE, f"{IMPORTABLE}\nENV PATH=/nowhere", "Failed", "python"),
}


@pytest.mark.long
@pytest.mark.parametrize("change", STOPPED_BY_TRIAL.values(), ids=STOPPED_BY_TRIAL.keys())
def test_what_the_trial_stops_leaves_the_champion_alone(
    world: World, repository: Repository, player: Player, change: tuple[str, str, str, str, str, str]
) -> None:
    version, path, old, new, phase, word = change
    champion = world.champion()
    repository.change(version, path, old, new)
    try:
        code, _, said = repository.ci(world.mlflow.again())
        assert code == 0, said
    finally:
        repository.back()
    release = ended(world, player, version)
    assert release["status"]["phase"] == phase, world.story()
    assert word in release["status"]["sentence"], release["status"]["sentence"]
    print(f"\n{version}: {phase}: {release['status']['sentence']}")
    with world.telling():
        eventually("the halt", lambda: rollout(version, world)["status"]["phase"] == "Halted", 90)
    assert (world.champion(), made_by(world)) == (champion, "1.1.0")


@pytest.mark.long
def test_what_a_stranger_signed_is_tried_by_nobody(world: World, repository: Repository, player: Player) -> None:
    champion = world.champion()
    stranger, _ = a_key(repository.folder.parent, "stranger")
    repository.key = stranger
    repository.change("1.6.0", "steps/cleaning.py", CHANGED, CAPS)
    code, _, said = repository.ci(world.mlflow.again())
    assert code == 0, said
    assert "1.6.0" in listed(world)
    before = names(world, "jobs")
    until = time.monotonic() + 45
    while time.monotonic() < until:
        assert not [one for one in names(world, "pipelinerollouts.trimtab.dev") if one.endswith("-1-6-0")], world.story()
        assert names(world, "jobs") <= before, world.story()
        time.sleep(3)
    assert (world.champion(), made_by(world)) == (champion, "1.1.0")
    assert player.counts.failed == 0, f"requests failed: {player.counts.codes}"
    nothing_differs(world)


def names(world: World, kind: str) -> set[str]:
    return {one["metadata"]["name"] for one in json.loads(kubectl("get", kind, "-n", world.namespace, "-o", "json"))["items"]}
