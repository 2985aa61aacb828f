"""How Releases come to be: an accepted event *is* a Release (design §9), and so is a changed recipe and a person's word.

A Release is named by a hash of its event's (source, id): the same event twice meets a taken name, and that is the whole
of the deduplication. It waits in Pending until the governor admits it.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct

from trimtab.control.ports import Kind, Objects
from trimtab.errors import Conflict, InvalidInput
from trimtab.events import CANDIDATE, FINDING, NEW_DATA, CandidateReady, CloudEvent, Finding, aware, data_of
from trimtab.release import Release, ReleaseSpec, Request
from trimtab.retraining.route import route
from trimtab.spec import Metadata, Model, recipe


class NewData(Struct, frozen=True, rename="camel"):
    """New rows have arrived; `cut` is their greatest event time."""

    model: str
    cut: datetime
    namespace: str = "default"
    sentence: str = ""


class Accepted(Struct, frozen=True):
    """What became of an event: a new Release, one that exists already, or none (with the reason)."""

    result: Literal["created", "duplicate", "recorded"]
    release: str = ""
    sentence: str = ""


class UnknownModel(InvalidInput):
    """The event is for a Model that does not exist."""


def release_for(model: Model, request: Request) -> Release:
    """The Release that a request asks for; equal (source, id) give equal names."""
    identity = hashlib.sha256(msgspec.json.encode((request.source, request.id))).hexdigest()[:10]
    metadata = Metadata(name=f"{model.name[:29]}-{identity}", namespace=model.metadata.namespace)
    return Release(metadata, ReleaseSpec(model.name, model.metadata.uid, recipe(model.spec), request))


def recipe_release(model: Model, releases: Sequence[Release], cut: datetime) -> Release | None:
    """A Release for the Model's recipe, where its newest Release was made by another recipe or there is none yet.

    Only Releases that a recipe asked for or that were admitted count: one that an event asked for may have been made by the
    recipe before an edit, or may wait for the very version that the recipe asks for.
    """
    now = recipe(model.spec)
    counted = [release for release in releases if release.spec.request.trigger == "recipe" or release.status.admitted_at]
    newest = max(counted, key=lambda release: (release.metadata.creation_timestamp or cut, release.name), default=None)
    if newest is not None and newest.spec.recipe == now and newest.spec.model_uid == model.metadata.uid:
        return None
    sentence = "the first version" if newest is None else "task, data, training or gates were changed"
    source = f"/models/{model.metadata.namespace}/{model.name}"
    return release_for(model, Request("recipe", source, f"{model.metadata.uid}/{now}@{model.metadata.generation}", cut, sentence=sentence))


def accept(event: CloudEvent, objects: Objects) -> Accepted:
    """Turn an event into a Release where its type and the route say so. Raises InvalidInput with a sentence otherwise."""
    if event.type == FINDING:
        finding = data_of(event, Finding)
        model = _model(objects, finding.namespace, finding.model)
        if finding.model_uid != model.metadata.uid:
            return Accepted("recorded", sentence=f"the Model {model.name!r} was made anew since: the finding is about another one")
        way = route(finding, model)
        if way.trigger is None:
            return Accepted("recorded", sentence=way.sentence)
        return _create(objects, model, _request(event, way.trigger, finding.cut, finding.sentence))
    if event.type == CANDIDATE:
        ready = data_of(event, CandidateReady)
        model = _model(objects, ready.namespace, ready.model)
        sentence = ready.sentence or "a run started by hand announced its candidate"
        request = msgspec.structs.replace(_request(event, "person", ready.cut, sentence), run=ready.run, by=ready.by)
        return _create(objects, model, request)
    if event.type == NEW_DATA:
        data = data_of(event, NewData)
        model = _model(objects, data.namespace, data.model)
        return _create(objects, model, _request(event, "newData", data.cut, data.sentence or "new data arrived"))
    msg = f"event type {event.type!r} asks for nothing that Trimtab knows; known are {FINDING}, {CANDIDATE} and {NEW_DATA}"
    raise InvalidInput(msg)


def _request(event: CloudEvent, trigger: str, cut: datetime, sentence: str) -> Request:
    try:
        moment = aware(cut)
    except OverflowError as error:
        msg = f"event {event.id!r} of type {event.type}: its cut {cut.isoformat()} is no moment that a calendar in UTC has"
        raise InvalidInput(msg) from error
    made = {"trigger": trigger, "source": event.source, "id": event.id, "cut": moment, "sentence": sentence}
    return msgspec.convert({**made, "event": event.data}, Request)


def _model(objects: Objects, namespace: str, name: str) -> Model:
    model = objects.get(Model, namespace, name)
    if model is None:
        known = ", ".join(sorted(item.name for item in objects.all_of(Model))) or "none"
        msg = f"there is no Model {name!r} in namespace {namespace!r}; known are {known}"
        raise UnknownModel(msg)
    return model


def create_once(objects: Objects, item: Kind) -> bool:
    """Create it; whether it was not there: a name follows from what asked for it, so a taken one was created by the same before."""
    try:
        objects.create(item)
    except Conflict:
        return False
    return True


def _create(objects: Objects, model: Model, request: Request) -> Accepted:
    asked = release_for(model, request)
    if create_once(objects, asked):
        return Accepted("created", asked.name, request.sentence)
    return Accepted("duplicate", asked.name, f"{asked.name} was created by this event before")
