"""Plays the example's rows through a cluster's gateway, as `trimtab local play` does on a laptop: `python -m tests.cluster.play …`.

A process of its own, so that load does not wait for a test. Its progress file says what was answered how, and by which version.
"""

import argparse
import contextlib
from datetime import datetime, timedelta
from pathlib import Path

from trimtab.documents import parse_model
from trimtab.events import aware
from trimtab.platforms.local.play import Player, Route
from trimtab.platforms.local.rows import read_rows


def main() -> None:
    """Until the rows end, or until SIGINT."""
    parser = argparse.ArgumentParser(description="Play rows as traffic.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path, required=True, help="the Model document")
    parser.add_argument("--gateway", required=True, help="the gateway's address, http://…")
    parser.add_argument("--host", required=True)
    parser.add_argument("--events", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--after", required=True)
    parser.add_argument("--until", default="2013-01-01")
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--progress", type=Path, required=True)
    given = parser.parse_args()
    model = parse_model(given.model.read_text())
    after, until = (aware(datetime.fromisoformat(text)) for text in (given.after, given.until))
    rows = read_rows(given.data, model.spec.data, [], after, until)
    route = Route(
        namespace=model.metadata.namespace,
        model=model.name,
        predict=f"{given.gateway}/v1/models/{model.name}:predict",
        events=given.events,
        secret=given.token,
        label_delay=timedelta(hours=24),
        host=given.host,
    )
    with contextlib.suppress(KeyboardInterrupt):
        Player(rows, route, given.progress, given.rate).run(lambda _: None)


if __name__ == "__main__":
    main()
