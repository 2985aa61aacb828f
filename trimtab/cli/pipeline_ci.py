"""The commands `trimtab pipeline init` and `trimtab pipeline ci`, declared; their work is in `repository.py`."""

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli.output import AsJson


def init(
    folder: Annotated[Path, typer.Argument(help="Where the repository is written: an empty folder, or one that does not exist.")],
    name: Annotated[str | None, typer.Option(help="The pipeline's name; else the folder's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a working repository of a pipeline: steps, tests, a sample, an image, and the files of two CI systems."""
    from trimtab.cli.repository import init_repository

    init_repository(folder, name, as_json=as_json)


def ci(
    folder: Annotated[Path, typer.Argument(help="The pipeline's repository, with [tool.trimtab.pipeline] in its pyproject.toml.")] = Path(),
    key: Annotated[Path | None, typer.Option("--key", help="The private key that signs the package (PEM, EC P-256).")] = None,
    tracking_uri: Annotated[
        str, typer.Option("--tracking-uri", help="MLflow's address, where the package is published.", envvar="MLFLOW_TRACKING_URI")
    ] = "",
    until: Annotated[str, typer.Option(help="The last stage: lint, tests, contract, sample, image, package or publish.")] = "publish",
    out: Annotated[Path | None, typer.Option("--report", help="The folder of reports and logs; else report in the repository.")] = None,
    patience: Annotated[float, typer.Option("--timeout", min=1, help="Seconds that one command of a stage may take.")] = 1800,
    as_json: AsJson = False,
) -> None:
    """Lint, test, check, run on the sample, build, package, sign and publish a pipeline; ends with 1 where a stage fails."""
    from trimtab.cli.repository import run_ci

    if not run_ci(folder, key, tracking_uri, until, out, patience, as_json=as_json):
        raise typer.Exit(1)
