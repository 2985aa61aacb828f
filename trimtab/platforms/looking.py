"""What both platforms share of looking at watched places: which command looks, what it is asked, and what its answer means."""

import sys
from datetime import datetime, timedelta

import msgspec

from trimtab.errors import InvalidInput, Unavailable
from trimtab.retraining.newdata import Seen, place_of, watch_of
from trimtab.spec import Model
from trimtab.training.watching import QUESTION, Answer, Question
from trimtab.units import duration

MODULE = "trimtab.training.watching"
COMMAND = (sys.executable, "-m", MODULE)


def question(model: Model) -> tuple[str, timedelta, dict[str, str]]:
    """The place of a Model that is watched, how often, and the variables of the process that looks at it."""
    found = watch_of(model)
    if found is None:
        msg = f"the Model {model.name!r} watches no place"
        raise InvalidInput(msg)
    watch, uri = found
    return place_of(watch, uri), duration(watch.every), {QUESTION: msgspec.json.encode(Question(uri, watch.by)).decode()}


def seen(place: str, said: str, at: datetime) -> Seen:
    """What the process saw; raises InvalidInput or Unavailable, with the sentence, where it could not look."""
    try:
        answer = msgspec.json.decode(said.strip().rsplit("\n", 1)[-1], type=Answer)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        msg = f"retraining.newData: the place could not be looked at: {said.strip()[-300:] or 'nothing was said'}"
        raise Unavailable(msg) from error
    if answer.fault:
        msg = f"retraining.newData: {answer.fault}"
        raise (InvalidInput if answer.mend else Unavailable)(msg)
    return Seen(place, answer.mark, answer.size, at)
