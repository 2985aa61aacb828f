"""What asks for a Release by itself, of one Model at one look: its schedule, and what is new at a place that is watched.

First the Release is created, under a name that follows from its event, and then the status remembers it. A crash between the two
meets a taken name. Whether such a Release may begin is the governor's business.
"""

from datetime import datetime

from msgspec.structs import replace

from trimtab.control.intake import create_once, release_for
from trimtab.control.ports import Objects, Places
from trimtab.retraining import newdata, schedule
from trimtab.spec import Model, ModelStatus


def ask(objects: Objects, places: Places, model: Model, now: datetime) -> Model:
    """Create what is due at `now` (data time) and remember it; returns the Model as it is stored then.

    Raises Conflict where the Model was changed meanwhile, and what the place raises where it cannot be looked at.
    """
    scheduled, occurrence = schedule.followed(model, now)
    if occurrence:
        create_once(objects, release_for(model, schedule.request(model, occurrence, now)))
    model = _remembered(objects, model, replace(model.status, scheduled=scheduled))
    if newdata.watch_of(model) is None:
        return _remembered(objects, model, replace(model.status, watched=None))
    seen = places.look(model)
    if seen is None:
        return model
    watched, sentence = newdata.noticed(model, seen)
    if sentence:
        create_once(objects, release_for(model, newdata.request(model, seen, now, sentence)))
    return _remembered(objects, model, replace(model.status, watched=watched))


def _remembered(objects: Objects, model: Model, status: ModelStatus) -> Model:
    return model if status == model.status else objects.write_status(replace(model, status=status))
