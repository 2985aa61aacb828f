"""`trimtab local play`: finds the route, reads the rows, shows how far it is."""

from datetime import datetime
from pathlib import Path

from trimtab.cli.output import print_json
from trimtab.cli.releases import find_model
from trimtab.errors import InvalidInput
from trimtab.events import aware
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.play import Played, Player, Route
from trimtab.platforms.local.rows import read_rows
from trimtab.platforms.local.state import State
from trimtab.schema import read_schema
from trimtab.units import duration


def parse_time(option: str, text: str | None) -> datetime | None:
    """An ISO 8601 option as a moment in UTC."""
    if text is None:
        return None
    try:
        return aware(datetime.fromisoformat(text))
    except (ValueError, OverflowError) as error:
        msg = f"{option}: {text!r} is not a time; ISO 8601 is allowed, such as 2011-07-01 or 2011-07-01T06:00"
        raise InvalidInput(msg) from error


def play_file(
    data: Path, folder: Path, model_name: str | None, after: str | None, until: str | None, rate: float, *, restart: bool, as_json: bool
) -> None:
    """Play the rows of `data` that come after the first cut (or `after`)."""
    state = State(folder).existing()
    model = find_model(SqliteObjects(state.database), model_name)
    champion, endpoints = model.status.champion, state.endpoints
    if champion is None or not endpoints:
        msg = f"{model.name} serves no version yet; `trimtab local up` tells when it does"
        raise InvalidInput(msg)
    begin = parse_time("--after", after) or model.status.first_cut
    if begin is None:
        msg = f"{model.name} has no first cut; name a time with --after"
        raise InvalidInput(msg)
    features = read_schema(state.version_folder(model.name, champion.version)).names
    rows = read_rows(data, model.spec.data, features, begin, parse_time("--until", until))
    route = Route(
        namespace=model.metadata.namespace,
        model=model.name,
        predict=f"{endpoints['inference']}/v1/models/{model.name}:predict",
        events=endpoints["events"],
        secret=state.secret,
        label_delay=duration(model.spec.data.label_delay),
    )
    progress = state.play_file(data)
    if restart:
        progress.unlink(missing_ok=True)
    player = Player(rows, route, progress, rate)
    played = _show(player, len(rows.rows), as_json=as_json)
    if as_json:
        print_json(played)
        return
    codes = ", ".join(f"{count} x {code}" for code, count in sorted(played.codes.items()))
    print(f"played {played.answered} of {len(rows.rows)} rows: {codes}; asked again {played.retried} times")


def _show(player: Player, total: int, *, as_json: bool) -> Played:
    if as_json:
        return player.run(lambda _: None)
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[seen]}"))
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("playing", total=total, completed=total - len(player.pending), seen="")

        def tell(played: Played) -> None:
            seen = f"{played.data_time:%Y-%m-%d %H:%M}" if played.data_time else ""
            failed = f", {played.failed} without a prediction" if played.failed else ""
            progress.update(task, completed=total - len(player.pending) + played.answered - before, seen=seen + failed)

        before = player.played.answered
        played = player.run(tell)
        progress.update(task, completed=total)
    return played
