"""The monitor's sink of Releases, on every platform: what `control/intake.py` makes of an event, in the words of the monitor's port.

Creating a Release is atomic on its name wherever objects live, so that it does not matter who creates it.
"""

from trimtab.control.intake import UnknownModel, accept
from trimtab.control.ports import Objects
from trimtab.errors import InvalidInput
from trimtab.events import CloudEvent
from trimtab.monitoring.ports import Emit, Sink, SinkAnswer


def release_sink(objects: Objects) -> Sink:
    """Takes the events of others: a Release, a duplicate, or a refusal with its sentence."""

    def sink(event: CloudEvent) -> SinkAnswer:
        try:
            answer = accept(event, objects)
        except UnknownModel as error:
            return SinkAnswer("unknown", str(error))
        except InvalidInput as error:
            return SinkAnswer("refused", str(error))
        return SinkAnswer("duplicate" if answer.result == "duplicate" else "accepted", answer.sentence)

    return sink


def release_emit(objects: Objects) -> Emit:
    """Takes the monitor's own findings; raises what `accept` raises."""

    def emit(event: CloudEvent) -> None:
        accept(event, objects)

    return emit
