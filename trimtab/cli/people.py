"""The commands by which a person says a word on a Release, declared; their work is in `releases.py`, which is imported when one runs."""

from typing import Annotated

import typer

from trimtab.cli.options import STATE, Namespace, StateFolder
from trimtab.cli.output import AsJson

Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the decision.")]
By = Annotated[str, typer.Option("--by", help="Who says it; else the user of this machine.")]


def approve(
    release: str, reason: Reason = "", by: By = "", state: StateFolder = STATE, namespace: Namespace = None, as_json: AsJson = False
) -> None:
    """Say yes to a Release that awaits approval."""
    from trimtab.cli.releases import act

    act("approve", release, reason, by, state, namespace, as_json=as_json)


def reject(
    release: str, reason: Reason = "", by: By = "", state: StateFolder = STATE, namespace: Namespace = None, as_json: AsJson = False
) -> None:
    """Say no to a Release that has not been promoted."""
    from trimtab.cli.releases import act

    act("reject", release, reason, by, state, namespace, as_json=as_json)


def abort(
    release: str, reason: Reason = "", by: By = "", state: StateFolder = STATE, namespace: Namespace = None, as_json: AsJson = False
) -> None:
    """Take a Release back that has not been promoted, without saying that its candidate is bad."""
    from trimtab.cli.releases import act

    act("abort", release, reason, by, state, namespace, as_json=as_json)


def retrain(
    model: Annotated[str | None, typer.Argument(help="Which Model; only needed where there are several.")] = None,
    reason: Reason = "",
    by: By = "",
    state: StateFolder = STATE,
    namespace: Namespace = None,
    as_json: AsJson = False,
) -> None:
    """Ask for a new version, trained on all that is known now."""
    from trimtab.cli.releases import ask_to_retrain

    ask_to_retrain(model, reason, by, state, namespace, as_json=as_json)


def rollback(
    target: Annotated[str, typer.Argument(help="A Release under way, or a Model whose previous champion shall come back.")],
    reason: Reason = "",
    by: By = "",
    state: StateFolder = STATE,
    namespace: Namespace = None,
    as_json: AsJson = False,
) -> None:
    """Take a candidate back, or bring a Model's previous champion back."""
    from trimtab.cli.releases import roll_back

    roll_back(target, reason, by, state, namespace, as_json=as_json)
