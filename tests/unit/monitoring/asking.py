"""Asking a monitor over HTTP: the status and the text of its answer, 0 where nobody answers."""

import json
import urllib.error
import urllib.request
from typing import Any


def ask(url: str, token: str = "", body: Any = None) -> tuple[int, str]:
    batched = isinstance(body, list)
    headers = {"content-type": "application/cloudevents-batch+json" if batched else "application/cloudevents+json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, headers=headers, data=None if body is None else json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)
