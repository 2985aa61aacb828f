"""What a Model says of capture, as the environment of its predictors: the same on a laptop and in a pod."""

import msgspec

from trimtab.spec import ModelSpec


def environment(spec: ModelSpec) -> dict[str, str]:
    """Variables for `serving.predictor`; none where all is told, so that nothing of a running pod changes.

    Who asked is told for A/B tests alone.
    """
    capture, rollout = spec.serving.capture, spec.rollout
    found = {} if capture.sample == 1 else {"TRIMTAB_CAPTURE_SAMPLE": f"{capture.sample:g}"}
    if capture.redact:
        found["TRIMTAB_CAPTURE_REDACT"] = msgspec.json.encode(capture.redact).decode()
    return found | ({"TRIMTAB_CAPTURE_UNIT": rollout.ab.header} if rollout.strategy == "ab" else {})
