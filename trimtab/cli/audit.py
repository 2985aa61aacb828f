"""The commands `trimtab audit …`, declared; their work is in `auditing.py`, which is imported when one runs."""

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli.options import STATE, Namespace, StateFolder
from trimtab.cli.output import AsJson

app = typer.Typer(help="What was decided, by whom and why, and that nobody changed it.", no_args_is_help=True, rich_markup_mode=None)

File = Annotated[Path | None, typer.Argument(help="An export to read, or - for standard input; else the store itself is read.")]
Certificate = Annotated[
    Path | None, typer.Option("--certificate", help="Certificates, or a public key, in PEM: whose signatures are believed.")
]


Anchors = Annotated[
    Path | None,
    typer.Option("--anchors", help="An earlier export or the controller's log: its records must be there, or have been the oldest."),
]
Head = Annotated[
    str, typer.Option("--head", help="A head that was written down, as NAMESPACE/NUMBER:HASH: its record must be there, or was the oldest.")
]
Unsigned = Annotated[bool, typer.Option("--unsigned", help="Look at the chain alone and at no signature.")]


@app.command()
def verify(
    file: File = None,
    state: StateFolder = STATE,
    namespace: Namespace = None,
    certificate: Certificate = None,
    anchors: Anchors = None,
    head: Head = "",
    unsigned: Unsigned = False,
    as_json: AsJson = False,
) -> None:
    """Find any edit, deletion, insertion, truncation or reordering, and name the first bad record; ends with 1 where there is one."""
    from trimtab.cli.auditing import Trust, verify_records

    trust = Trust(certificate, anchors, head, unsigned=unsigned)
    if not verify_records(file, state, namespace, trust, as_json=as_json):
        raise typer.Exit(1)


@app.command()
def served(
    at: Annotated[str, typer.Option("--at", help="When (ISO 8601, wall time; UTC where it has no zone).")],
    model: Annotated[str, typer.Option("--model", help="The Model's name.")],
    file: File = None,
    state: StateFolder = STATE,
    namespace: Namespace = None,
    certificate: Certificate = None,
    anchors: Anchors = None,
    head: Head = "",
    unsigned: Unsigned = False,
    as_json: AsJson = False,
) -> None:
    """Which version served at a time, with which share, trained on what, asked for by which event, approved by whom; verified first."""
    from trimtab.cli.auditing import Trust, show_served

    show_served(at, model, file, state, namespace, Trust(certificate, anchors, head, unsigned=unsigned), as_json=as_json)


@app.command()
def export(
    out: Annotated[Path | None, typer.Option("--out", help="A file; else standard output.")] = None,
    state: StateFolder = STATE,
    namespace: Namespace = None,
    prune: Annotated[bool, typer.Option("--prune", help="Then delete from the cluster what is old, was exported, and is whole.")] = False,
    before: Annotated[str, typer.Option("--before", help="With --prune: only records that are older (ISO 8601, wall time).")] = "",
    certificate: Certificate = None,
    anchors: Anchors = None,
) -> None:
    """Write every record as JSON Lines, which `verify` and `served` read without the store."""
    from trimtab.cli.auditing import Trust, write_export

    if prune:
        from trimtab.cli.pruning import export_and_prune

        export_and_prune(out, namespace, before, Trust(certificate, anchors))
    else:
        write_export(out, state, namespace)
