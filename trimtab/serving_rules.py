"""The rules of `spec.serving`: what is Trimtab's own in the InferenceService, how long an explanation may take, and what capture needs."""

import re

from trimtab.rule import Rule
from trimtab.spec import ModelSpec, Serving
from trimtab.template import OWNED, Owned, given

_EXPLAINED_WITHIN = "^0*([1-5]m|([1-9][0-9]?|[12][0-9][0-9]|300)s|([1-9][0-9]{3,4}|[12][0-9]{5}|300000)ms)$"
"""The durations from 1 s to 5 min, as CEL can tell them too."""


def _explained_for_ever(serving: Serving) -> bool:
    return serving.explainer is not None and not re.match(_EXPLAINED_WITHIN, serving.explainer.budget.time)


def _needed_redacted(spec: ModelSpec) -> bool:
    return bool({spec.data.key, spec.data.time} & set(spec.serving.capture.redact))


def _too_few_allowed(serving: Serving) -> bool:
    most = serving.template.get("maxReplicas")
    return most is not None and (not isinstance(most, int) or most < serving.replicas)


def _left_to_trimtab(owned: Owned) -> Rule:
    words = ["self", "template", *owned.path.split(".")]
    return Rule(
        name=f"template-{owned.path}",
        on="spec.serving",
        at=f"template.{owned.path}",
        cel=" || ".join(f"!has({'.'.join(words[:length])})" for length in range(2, len(words) + 1)),
        message=f"this is Trimtab's own: {owned.instead}",
        broken=lambda serving: given(serving.template, owned.path),
        reads=owned.kind,
    )


SERVING_RULES = (
    Rule(
        name="explainer-time",
        on="spec.serving",
        at="explainer.budget.time",
        cel=(
            "!has(self.explainer) || !has(self.explainer.budget) || !has(self.explainer.budget.time) || "
            f"self.explainer.budget.time.matches('{_EXPLAINED_WITHIN}')"
        ),
        message="allowed is 1s to 5m: one request is explained at a time, and others wait for it",
        broken=_explained_for_ever,
    ),
    Rule(
        name="redact-needed",
        on="spec",
        at="serving.capture.redact",
        cel=(
            "!has(self.serving) || !has(self.serving.capture) || !has(self.serving.capture.redact) || "
            "!self.serving.capture.redact.exists(name, (has(self.data.key) && name == self.data.key) || "
            "(has(self.data.time) && name == self.data.time))"
        ),
        message="the monitor joins labels by the key and orders rows by the time; allowed are other columns",
        broken=_needed_redacted,
    ),
    *(_left_to_trimtab(owned) for owned in OWNED),
    Rule(
        name="template-most",
        on="spec.serving",
        at="template.maxReplicas",
        cel=(
            "!has(self.template) || !has(self.template.maxReplicas) || "
            "self.template.maxReplicas >= (has(self.replicas) ? self.replicas : 1)"
        ),
        message="allowed is a whole number, at least spec.serving.replicas",
        broken=_too_few_allowed,
        reads=int,
    ),
)
