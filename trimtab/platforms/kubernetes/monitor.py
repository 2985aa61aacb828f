"""The port `Monitor` on a cluster: the monitor's Service, asked with a token that the kubelet keeps fresh in a file."""

from datetime import datetime
from pathlib import Path

from trimtab.errors import Unavailable
from trimtab.events import aware
from trimtab.platforms.monitor_client import MonitorClient
from trimtab.spec import Model, MonitoringSummary


class ClusterMonitor(MonitorClient):
    """What the monitor knows, or `Unavailable` while it does not answer or does not take the token."""

    def __init__(self, url: str, token_file: Path) -> None:
        """`token_file` holds a ServiceAccount's token for the monitor's audience; it is read at each question, for it changes."""

        def token() -> str:
            try:
                return token_file.read_text().strip()
            except OSError as error:
                msg = f"the token for the monitor cannot be read: {error}"
                raise Unavailable(msg) from error

        super().__init__(url.rstrip("/"), token)

    def summary(self, model: Model) -> MonitoringSummary:
        """How the version that serves stands, for the Model's status."""
        found = self.ask(model, "state")
        watermark = found.get("watermark")
        time = aware(datetime.fromisoformat(watermark)) if watermark else None
        return MonitoringSummary(str(found.get("drift", "")), str(found.get("sentence", "")), time)
