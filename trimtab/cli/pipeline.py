"""The commands `trimtab pipeline …`, declared; their work is in `pipelines.py`, which is imported when one runs."""

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli.options import STATE, Namespace, StateFolder
from trimtab.cli.output import AsJson
from trimtab.cli.pipeline_ci import ci, init
from trimtab.cli.pipeline_fleet import halt, resume, revert, status

app = typer.Typer(
    help="The pipeline itself: checked, built, published, compared, and rolled out.", no_args_is_help=True, rich_markup_mode=None
)
for command in (status, halt, resume, revert):
    app.command()(command)

Repository = Annotated[Path, typer.Argument(help="The pipeline's repository, with [tool.trimtab.pipeline] in its pyproject.toml.")]
TrackingUri = Annotated[str, typer.Option("--tracking-uri", help="MLflow's address; with -n else MLFLOW_TRACKING_URI.")]
Name = Annotated[str, typer.Argument(help="The pipeline's name.")]


@app.command()
def check(folder: Repository = Path(), as_json: AsJson = False) -> None:
    """Compile the pipeline and hold it against what Trimtab asks of one; ends with 2 and a sentence for each break."""
    from trimtab.cli.pipelines import check_pipeline

    if not check_pipeline(folder, as_json=as_json):
        raise typer.Exit(2)


@app.command()
def build(
    folder: Repository = Path(),
    out: Annotated[
        Path, typer.Option("--out", help="The folder that the package is written to; in the repository, one that git ignores.")
    ] = Path("dist"),
    as_json: AsJson = False,
) -> None:
    """Check the pipeline, build its image and write its package; equal content gives an equal digest."""
    from trimtab.cli.pipelines import build_pipeline

    if not build_pipeline(folder, out, as_json=as_json):
        raise typer.Exit(2)


@app.command()
def publish(
    folder: Annotated[Path, typer.Argument(help="The package's folder.")],
    key: Annotated[
        Path, typer.Option("--key", help="The private key that signs it (PEM, EC P-256); its public half is in Models' policies.")
    ],
    state: StateFolder = STATE,
    namespace: Namespace = None,
    tracking_uri: TrackingUri = "",
    as_json: AsJson = False,
) -> None:
    """Sign a package and publish it, once and for good: the same version with other content is refused, and ends with 2."""
    from trimtab.cli.pipelines import publish_package

    publish_package(folder, key, state, namespace, tracking_uri, as_json=as_json)


@app.command("list")
def list_versions(
    name: Name, state: StateFolder = STATE, namespace: Namespace = None, tracking_uri: TrackingUri = "", as_json: AsJson = False
) -> None:
    """The published versions of a pipeline, oldest first, and which one each channel means."""
    from trimtab.cli.pipelines import show_versions

    show_versions(name, state, namespace, tracking_uri, as_json=as_json)


@app.command()
def diff(
    name: Name,
    before: Annotated[str, typer.Argument(metavar="A", help="A published version, or a package's folder.")],
    after: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    state: StateFolder = STATE,
    namespace: Namespace = None,
    tracking_uri: TrackingUri = "",
    as_json: AsJson = False,
) -> None:
    """What changed from version A to version B: source, images, steps, parameters, what is installed."""
    from trimtab.cli.pipelines import show_difference

    show_difference(name, before, after, state, namespace, tracking_uri, as_json=as_json)


for command in (init, ci):
    app.command()(command)
