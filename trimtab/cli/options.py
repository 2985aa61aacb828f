"""Options that many commands share."""

from pathlib import Path
from typing import Annotated

import typer

StateFolder = Annotated[Path, typer.Option("--state", help="The state folder.", envvar="TRIMTAB_STATE_FOLDER")]
Namespace = Annotated[
    str | None,
    typer.Option("-n", "--namespace", help="A namespace of the cluster that kubectl talks to; without it the state folder is meant."),
]
STATE = Path(".trimtab")
