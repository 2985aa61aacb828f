"""A signed version in a real MLflow, and the program that fetches it."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.local.mlflow_server import Shop
from tests.unit.training.data import model
from trimtab.platforms.registry import MlflowRegistry
from trimtab.signing import SIGNATURE_TAGS, believed

PROGRAM = (sys.executable, "-m", "serving.fetch")


class Bench:
    """A signed version of its own for a test, and the program that fetches it."""

    def __init__(self, shop: Shop, registry: MlflowRegistry, client: Any, certificate: str, uid: str, folder: Path) -> None:
        self.shop, self.client, self.certificate, self.folder = shop, client, certificate, folder
        self.key = believed(certificate)[0]
        self.signature = f"{SIGNATURE_TAGS}{self.key}"
        self.version = shop.put(uid)
        self.model = model(shop.spec)
        registry.sign(self.model, self.version, uid)
        self.run = client.get_model_version("toy", self.version.version).run_id
        self.uri = f"mlflow://models/toy/{self.version.version}?sha256={self.version.digest}"
        self.models = folder / "models"

    def start(
        self,
        uri: str = "",
        server: str = "",
        certificate: str | None = None,
        program: Sequence[str] = PROGRAM,
        *,
        signed: bool = True,
        **environment: str,
    ) -> "subprocess.Popen[str]":
        """The program, started; it believes our key or `certificate`, or asks for no signature where it shall not be `signed`."""
        known = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
        known |= {"TRIMTAB_TRACKING_URI": server or self.shop.server.uri, "TRIMTAB_FETCH_PATIENCE_SECONDS": "30", **environment}
        if signed:
            known["TRIMTAB_SIGNING_CERTIFICATE"] = self.certificate if certificate is None else certificate
        return subprocess.Popen([*program, uri or self.uri, str(self.models)], stderr=subprocess.PIPE, text=True, env=known)

    def fetch(self, *arguments: Any, **options: Any) -> tuple[int, str]:
        """Exit code and last line on stderr."""
        process = self.start(*arguments, **options)
        said = process.communicate(timeout=120)[1]
        return process.returncode, (said.strip().splitlines() or [""])[-1]

    def tag(self, name: str, value: str) -> None:
        """Put a tag on the version, as anybody who reaches MLflow can."""
        self.client.set_model_version_tag("toy", self.version.version, name, value)

    def relist(self, files: dict[str, str]) -> None:
        """Let the manifest list other files, and the URI name that manifest: what whoever made the version could have meant."""
        body = msgspec.json.encode({"files": files})
        self.shop.file(self.run, "manifest.json").write_bytes(body)
        self.uri = f"{self.uri[:-64]}{hashlib.sha256(body).hexdigest()}"
