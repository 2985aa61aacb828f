"""What a Model says of capture, as the environment of its predictors: the same on a laptop and in a pod."""

import msgspec

from trimtab.spec import Capture


def environment(capture: Capture) -> dict[str, str]:
    """Variables for `serving.predictor`; none where all is told, so that nothing of a running pod changes."""
    found = {} if capture.sample == 1 else {"TRIMTAB_CAPTURE_SAMPLE": f"{capture.sample:g}"}
    return found | ({"TRIMTAB_CAPTURE_REDACT": msgspec.json.encode(capture.redact).decode()} if capture.redact else {})
