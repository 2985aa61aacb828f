"""The commands, as a tree. Each command's work is in a module that is imported when the command runs."""

from pathlib import Path
from typing import Annotated

import typer

from trimtab import __version__
from trimtab.cli.audit import app as audit
from trimtab.cli.options import STATE, Namespace, StateFolder
from trimtab.cli.output import AsJson
from trimtab.cli.people import abort, approve, pause, promote, reject, resume, retrain, rollback
from trimtab.cli.pipeline import app as pipeline

app = typer.Typer(
    name="trimtab",
    help="Declare a model once; Trimtab trains it, gates it, rolls it out, watches it and retrains it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
local = typer.Typer(help="The whole loop on this machine: real parts, no cluster.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(local, name="local")
policy = typer.Typer(help="What another policy would have done.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(policy, name="policy")
app.add_typer(audit, name="audit")
app.add_typer(pipeline, name="pipeline")

rollout = typer.Typer(help="What a rollout will take, and what people say to one under way.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(rollout, name="rollout")


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False) -> None:
    """Declare a model once; Trimtab trains it, gates it, rolls it out, watches it and retrains it."""
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def init(
    data: Annotated[Path, typer.Argument(help="A CSV or Parquet file with the rows.")],
    out: Annotated[Path, typer.Option("--out", help="Where the document is written.")] = Path("model.yaml"),
    name: Annotated[str | None, typer.Option(help="The model's name; else taken from the file's.")] = None,
    label: Annotated[str | None, typer.Option(help="The label's column; else guessed.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a document that exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a first Model document from the data."""
    from trimtab.cli.documents import init_document

    init_document(data, out, name, label, force=force, as_json=as_json)


@local.command()
def up(
    document: Annotated[Path, typer.Argument(help="The Model document.")],
    state: StateFolder = STATE,
    start: Annotated[
        str | None, typer.Option("--from", help="The first cut (ISO 8601): the first version knows only rows until then.")
    ] = None,
    gateway_port: Annotated[int, typer.Option(help="Where callers ask; 0 takes a free port.")] = 8080,
    events_port: Annotated[int, typer.Option(help="Where events and metrics are; 0 takes a free port.")] = 8090,
    mlflow_port: Annotated[int, typer.Option(help="Where the MLflow page is; 0 takes a free port.")] = 5000,
    notify: Annotated[
        str, typer.Option(help="A webhook that is told of promotions, rollbacks and escalations; its token in TRIMTAB_NOTIFY_TOKEN.")
    ] = "",
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay until interrupted, then take everything down.")] = False,
    as_json: AsJson = False,
) -> None:
    """Apply a Model document and run everything; returns when the first version serves."""
    from trimtab.cli.local import bring_up

    ports = {"gateway": gateway_port, "events": events_port, "mlflow": mlflow_port}
    bring_up(document, state, start, ports, notify, foreground=foreground, as_json=as_json)


@local.command()
def down(state: StateFolder = STATE, as_json: AsJson = False) -> None:
    """End all processes; the state stays, and the next `up` goes on from it."""
    from trimtab.cli.local import take_down

    take_down(state, as_json=as_json)


@local.command("status")
def local_status(state: StateFolder = STATE, as_json: AsJson = False) -> None:
    """What runs here, and the end-points."""
    from trimtab.cli.local import show_processes

    show_processes(state, as_json=as_json)


@local.command()
def play(
    data: Annotated[Path, typer.Argument(help="A CSV or Parquet file; its rows after the first cut are played.")],
    state: StateFolder = STATE,
    model: Annotated[str | None, typer.Option(help="Which Model; only needed where there are several.")] = None,
    after: Annotated[str | None, typer.Option("--after", help="Play rows after this time; else after the first cut.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Play rows until this time; else all.")] = None,
    rate: Annotated[float, typer.Option(min=0, help="Rows a second; 0 is as fast as they are answered.")] = 50.0,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew instead of going on where the last play stopped.")] = False,
    as_json: AsJson = False,
) -> None:
    """Play a file's rows as live traffic through the gateway; labels follow after labelDelay."""
    from trimtab.cli.play import play_file

    play_file(data, state, model, after, until, rate, restart=restart, as_json=as_json)


@local.command()
def report(
    state: StateFolder = STATE,
    model: Annotated[str | None, typer.Option(help="Which Model; only needed where there are several.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Where the page is written.")] = Path("report.html"),
    as_json: AsJson = False,
) -> None:
    """Write one self-contained page: demand and error over time, findings, versions, canaries and verdicts."""
    from trimtab.cli.report import write_report

    write_report(state, model, out, as_json=as_json)


@app.command("report")
def monitoring_report(
    model: Annotated[
        str | None, typer.Argument(help="Which Model; only needed where there are several, or where a monitor is asked.")
    ] = None,
    window: Annotated[int | None, typer.Option(min=0, help="One window of it, by its number; else its whole life.")] = None,
    version: Annotated[str | None, typer.Option(help="Whose window; else the newest one of that number.")] = None,
    fleet: Annotated[
        bool, typer.Option("--fleet", help="All Models that the monitor watches, what to look at first coming first.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", help="Where it is written: a page (.html) or a picture (.png).")] = Path("report.html"),
    state: StateFolder = STATE,
    namespace: Annotated[str | None, typer.Option("-n", "--namespace", help="The Model's namespace, where a monitor is asked.")] = None,
    monitor: Annotated[str, typer.Option(help="A monitor's address, asked with TRIMTAB_TOKEN; without it the state folder is read.")] = "",
    as_json: AsJson = False,
) -> None:
    """What the monitor saw of a Model: drift, distributions, metric, quality and findings, as a page or a picture."""
    from trimtab.cli.reports import fleet_report
    from trimtab.cli.reports import report as write

    if fleet:
        fleet_report(out, namespace, monitor, as_json=as_json)
    else:
        write(model, window, version, out, state, namespace, monitor, as_json=as_json)


@app.command()
def backtest(
    document: Annotated[Path, typer.Argument(help="The Model document.")],
    data: Annotated[Path | None, typer.Argument(help="A CSV or Parquet file with the rows; else the document's data.uri.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="The first cut (ISO 8601); else where a quarter of the rows is known.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, max=100, help="How many settings each search tries.")] = 1,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="A folder for what is trained; the next backtest takes it from there.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Where the page is written.")] = Path("backtest.html"),
    as_json: AsJson = False,
) -> None:
    """Would this policy have been worth it? Lives it over old rows, beside never, clocks and an oracle; nothing is installed."""
    from trimtab.cli.backtest import run_backtest

    run_backtest(document, data, start, trials, keep, out, as_json=as_json)


@policy.command()
def replay(
    document: Annotated[Path, typer.Argument(help="A Model document; its monitoring and retraining are the policy.")],
    model: Annotated[str | None, typer.Option(help="Which Model's windows; only needed where there are several.")] = None,
    state: StateFolder = STATE,
    namespace: Namespace = None,
    monitor: Annotated[str, typer.Option("--monitor", help="With -n: the monitor's address, such as http://localhost:8090.")] = "",
    as_json: AsJson = False,
) -> None:
    """Run another policy over the windows that the monitor stored: which findings and retrains there would have been instead."""
    from trimtab.cli.policy import replay_policy

    replay_policy(document, model, state, namespace, monitor, as_json=as_json)


@app.command()
def status(state: StateFolder = STATE, namespace: Namespace = None, as_json: AsJson = False) -> None:
    """The Models: champion, watermark, last Release."""
    from trimtab.cli.releases import show_models

    show_models(state, namespace, as_json=as_json)


@app.command()
def releases(
    state: StateFolder = STATE,
    namespace: Namespace = None,
    model: Annotated[str | None, typer.Option(help="Only this Model's.")] = None,
    why: Annotated[bool, typer.Option("--why", help="What asked for each: trigger, event, who, and what the governor said.")] = False,
    as_json: AsJson = False,
) -> None:
    """All Releases, oldest first."""
    from trimtab.cli.releases import show_releases

    show_releases(state, namespace, model, why=why, as_json=as_json)


@app.command()
def why(
    release: Annotated[str, typer.Argument(help="A Release's name.")],
    state: StateFolder = STATE,
    namespace: Namespace = None,
    as_json: AsJson = False,
) -> None:
    """Every decision of a Release with its evidence, in sentences."""
    from trimtab.cli.releases import explain

    explain(release, state, namespace, as_json=as_json)


@rollout.command()
def plan(
    document: Annotated[Path, typer.Argument(help="The Model document.")],
    requests: Annotated[
        float | None,
        typer.Option(min=0, help="Requests (strategy ab: callers with a label) a second; else what its newest Release counted."),
    ] = None,
    errors: Annotated[float | None, typer.Option(min=0, max=1, help="The champion's rate of errors; else as counted, or 0.01.")] = None,
    slow: Annotated[float | None, typer.Option(min=0, max=1, help="The champion's rate of slow answers; else likewise.")] = None,
    mean: Annotated[float | None, typer.Option(help="Strategy ab: the mean of the champion's labels; else as counted.")] = None,
    deviation: Annotated[float | None, typer.Option(min=0, help="Strategy ab: their standard deviation; of classes not needed.")] = None,
    state: StateFolder = STATE,
    namespace: Namespace = None,
    as_json: AsJson = False,
) -> None:
    """Requests and time that each step needs, which harm it would catch, and what is out of reach; ends with 1 where the plan is."""
    from trimtab.cli.plans import Given, show_plan

    if not show_plan(document, Given(requests, errors, slow, mean, deviation), state, namespace, as_json=as_json):
        raise typer.Exit(1)


Which = Annotated[list[str], typer.Argument(metavar="[MODEL] VERSION", help="A version's number; MODEL only where there are several.")]
TrackingUri = Annotated[str, typer.Option("--tracking-uri", help="MLflow's address; with -n else MLFLOW_TRACKING_URI.")]


@app.command()
def lineage(
    version: Which,
    state: StateFolder = STATE,
    namespace: Namespace = None,
    tracking_uri: TrackingUri = "",
    sbom: Annotated[bool, typer.Option("--sbom", help="Print what is in the pipeline's image instead (CycloneDX).")] = False,
    as_json: AsJson = False,
) -> None:
    """Where a version comes from: event, Release, who approved, run, rows, pipeline, source, images, gates; and what became of it."""
    from trimtab.cli.lineage import show_lineage, show_sbom

    if sbom:
        show_sbom(version, state, namespace, tracking_uri)
    else:
        show_lineage(version, state, namespace, tracking_uri, as_json=as_json)


@app.command()
def reproduce(
    version: Which, state: StateFolder = STATE, namespace: Namespace = None, tracking_uri: TrackingUri = "", as_json: AsJson = False
) -> None:
    """Make a version again from its rows, settings and seed, and say whether it predicts the same; ends with 1 where it does not."""
    from trimtab.cli.reproduce import make_again

    if not make_again(version, state, namespace, tracking_uri, as_json=as_json):
        raise typer.Exit(1)


for command in (approve, reject, abort, retrain, rollback):
    app.command()(command)
for word in (pause, resume, promote, abort):
    rollout.command()(word)
