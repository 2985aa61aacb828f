"""Which version a command means, and where it is: `[MODEL] VERSION`, in the state folder or in a namespace of a cluster."""

import os
from pathlib import Path

from msgspec import Struct

from trimtab.cli.place import Place, place
from trimtab.cli.releases import find_model
from trimtab.errors import InvalidInput
from trimtab.spec import Model, registered_name

VARIABLE = "MLFLOW_TRACKING_URI"


class Target(Struct, frozen=True):
    """The version `version` of the registered model `registered`, in the MLflow at `tracking_uri`.

    `model` is None where there is no Model of that name any more: its versions outlive it.
    """

    place: Place
    model: Model | None
    name: str
    registered: str
    version: str
    tracking_uri: str

    @property
    def shown(self) -> str:
        """The version for a sentence."""
        return f"version {self.version} of {self.name!r}"


def target(words: list[str], folder: Path, namespace: str | None, tracking_uri: str) -> Target:
    """What the words `[MODEL] VERSION` mean; MODEL may be left out where there is one Model.

    Raises InvalidInput where they mean nothing, or where it is not known at which MLflow a namespace's versions are.
    """
    if not 1 <= len(words) <= 2:
        msg = f"found {len(words)} words; [MODEL] VERSION is allowed, such as `churn 7`, or `7` where there is one Model"
        raise InvalidInput(msg)
    version = words[-1]
    if not version.isdecimal():
        msg = f"found {version!r} as VERSION; a version's number is allowed, such as 7"
        raise InvalidInput(msg)
    here = place(folder, namespace)
    models = here.objects.all_of(Model)
    model = find_model(here.objects, None) if len(words) == 1 else next((one for one in models if one.name == words[0]), None)
    name = model.name if model else words[0]
    registered = model.registered if model else registered_name(name, namespace or "default")
    return Target(here, model, name, registered, version, tracking_at(folder, namespace, tracking_uri))


def tracking_at(folder: Path, namespace: str | None, given: str) -> str:
    """The MLflow that holds what a command asks about; raises InvalidInput where it is not known of a namespace."""
    if namespace is None:
        from trimtab.platforms.local.state import State

        return given or State(folder).tracking_uri
    found = given or os.environ.get(VARIABLE, "")
    if not found:
        msg = f"which MLflow has the versions of namespace {namespace!r}? Name its address with --tracking-uri or {VARIABLE}; "
        msg += "`kubectl port-forward -n trimtab-system service/trimtab-mlflow 5000` makes it http://127.0.0.1:5000"
        raise InvalidInput(msg)
    return found
