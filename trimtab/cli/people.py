"""The commands by which a person says a word on a Release, declared; their work is in `saying.py`, which is imported when one runs."""

from collections.abc import Callable
from typing import Annotated, Literal

import typer

from trimtab.cli.options import STATE, Namespace, StateFolder
from trimtab.cli.output import AsJson

Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the decision.")]
By = Annotated[str, typer.Option("--by", help="Who says it; else the user of this machine, or of this cluster.")]
Target = Annotated[str, typer.Argument(metavar="RELEASE", help="A Release, or a Model whose Release is under way.")]


def _saying(word: Literal["approve", "reject", "abort", "pause", "resume"], told: str) -> Callable[..., None]:
    """The command that says a word which has nothing to it but its reason; `told` is its help."""

    def say(
        target: Target, reason: Reason = "", by: By = "", state: StateFolder = STATE, namespace: Namespace = None, as_json: AsJson = False
    ) -> None:
        from trimtab.cli.saying import act

        act(word, target, reason, by, state, namespace, as_json=as_json)

    say.__name__, say.__doc__ = word, told
    return say


approve = _saying("approve", "Say yes to a Release that awaits approval.")
reject = _saying("reject", "Say no to a Release that has not been promoted.")
abort = _saying("abort", "Take a Release back that has not been promoted, without saying that its candidate is bad.")
pause = _saying("pause", "Let a rollout stand at its weight; harm still takes it back, and after 7 days the pause does.")
resume = _saying("resume", "Let a paused rollout go on from where it stands.")


def promote(
    target: Target,
    step: Annotated[int | None, typer.Option(min=1, max=99, help="The step to go to, counted from 1; else the next one.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Go to 100%.")] = False,
    reason: Reason = "",
    by: By = "",
    state: StateFolder = STATE,
    namespace: Namespace = None,
    as_json: AsJson = False,
) -> None:
    """Send a rollout to a later step without waiting for the judge's "not worse"; a candidate that is unready or does harm stays back."""
    from trimtab.cli.saying import act

    act("promote", target, reason, by, state, namespace, step=step, full=full, as_json=as_json)


def retrain(
    model: Annotated[str | None, typer.Argument(help="Which Model; only needed where there are several.")] = None,
    reason: Reason = "",
    by: By = "",
    state: StateFolder = STATE,
    namespace: Namespace = None,
    as_json: AsJson = False,
) -> None:
    """Ask for a new version, trained on all that is known now."""
    from trimtab.cli.saying import ask_to_retrain

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
    from trimtab.cli.saying import roll_back

    roll_back(target, reason, by, state, namespace, as_json=as_json)
