"""The commands about roll-outs of pipeline versions, declared; their work is in `fleet.py`, which is imported when one runs."""

from collections.abc import Callable
from typing import Annotated, Literal

import typer

from trimtab.cli.options import STATE, Namespace, StateFolder
from trimtab.cli.output import AsJson
from trimtab.cli.people import By, Reason

Rollout = Annotated[str, typer.Argument(metavar="NAME", help="A PipelineRollout, as `trimtab pipeline status` names it.")]


def status(
    name: Annotated[str | None, typer.Argument(help="A PipelineRollout: what became of it at each Model; else all of them.")] = None,
    state: StateFolder = STATE,
    namespace: Namespace = None,
    as_json: AsJson = False,
) -> None:
    """How far new pipeline versions have come through the Models that follow their channels."""
    from trimtab.cli.fleet import show_rollout, show_rollouts

    if name is None:
        show_rollouts(state, namespace, as_json=as_json)
    else:
        show_rollout(name, state, namespace, as_json=as_json)


def _saying(word: Literal["halt", "resume", "revert"], told: str) -> Callable[..., None]:
    def say(
        name: Rollout, reason: Reason = "", by: By = "", state: StateFolder = STATE, namespace: Namespace = None, as_json: AsJson = False
    ) -> None:
        from trimtab.cli.fleet import say_to_rollout

        say_to_rollout(word, name, reason, by, state, namespace, as_json=as_json)

    say.__name__, say.__doc__ = word, told
    return say


halt = _saying("halt", "Let no further Model get the version; what is under way goes on to its own verdict.")
resume = _saying("resume", "Let a halted roll-out go on; what ended badly so far is forgiven.")
revert = _saying("revert", "Let no further Model get the version, and bring back the champions before what it made.")
