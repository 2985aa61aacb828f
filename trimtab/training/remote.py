"""A single file behind http:// or https://, brought here before DuckDB reads it.

DuckDB's own reader of URLs is an extension that it downloads on first use: in a cluster without a way out there is none. A file
that was written anew while it came is known by the validators that its server gives (ETag and Last-Modified, RFC 9110 section 8.8).
"""

import http.client
import logging
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from trimtab.addresses import shown
from trimtab.errors import InvalidInput, Unavailable

log = logging.getLogger(__name__)

MAX_BYTES = 4 << 30
TIMEOUT_SECONDS = 30.0
PAUSES = (1.0, 2.0, 4.0, 8.0)
_CHUNK = 1 << 20
_AGAIN = (408, 425, 429)


class Changed(Unavailable):
    """What was read was written meanwhile; the same read may work later."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"data.uri {where!r} changed while it was read: let nothing write there during a run, or write under another name and rename"
        )


def download(uri: str, folder: Path, limit: int = MAX_BYTES, pauses: tuple[float, ...] = PAUSES) -> Path:
    """The file behind `uri`, in `folder` under its own name; at most `limit` bytes, tried again after each of `pauses` (seconds).

    Raises InvalidInput where the server refuses, the URI is a pattern or the file is too large; Unavailable where nobody answers;
    Changed where the server says after the download that the file is another one than before it.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", unquote(urlsplit(uri).path).rsplit("/", 1)[-1]).lstrip(".") or "data.csv"
    if "*" in urlsplit(uri).path:
        msg = f"data.uri {shown(uri)!r}: a pattern cannot be listed over HTTP; the URI of a single file is allowed"
        raise InvalidInput(msg)
    if "@" in urlsplit(uri).netloc:
        msg = f"data.uri {shown(uri)!r} names a user; a URI that holds what it needs in its query (a signed one), or nothing, is allowed"
        raise InvalidInput(msg)
    path = folder / name
    why, cause = "", Exception()
    for pause in (*pauses, None):
        try:
            before = _bring(uri, path, limit)
            if any(before) and _validators(uri) != before:
                raise Changed(shown(uri))
            log.info("downloaded %s: %d bytes", shown(uri), path.stat().st_size)
            return path
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500 and error.code not in _AGAIN:
                refused = f"the server answers {error.code} {error.reason}"
                msg = f"data.uri {shown(uri)!r}: {refused}: is the URI right, and may it be read from here?"
                raise InvalidInput(msg) from error
            why, cause = f"the server answers {error.code} {error.reason}", error
        except (ValueError, http.client.InvalidURL) as error:
            msg = f"data.uri {shown(uri)!r} is no URL that can be asked: {type(error).__name__}"
            raise InvalidInput(msg) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            why, cause = f"no whole answer: {str(reason) or type(reason).__name__}", error
        if pause is not None:
            log.warning("%s: %s; once more in %g s", shown(uri), why, pause)
            time.sleep(pause)
    msg = f"data.uri {shown(uri)!r} could not be read: {why}"
    raise Unavailable(msg) from cause


def validators(uri: str) -> tuple[str, str, str]:
    """ETag, Last-Modified and length of the file behind `uri`, each empty where its server tells none; raises as `download` does."""
    try:
        with _ask(uri) as answer:
            headers = answer.headers
            return headers.get("ETag", ""), headers.get("Last-Modified", ""), headers.get("Content-Length", "")
    except urllib.error.HTTPError as error:
        error.close()
        msg = f"data.uri {shown(uri)!r}: the server answers {error.code} {error.reason}"
        raise (Unavailable if error.code >= 500 or error.code in _AGAIN else InvalidInput)(msg) from error
    except ValueError as error:
        msg = f"data.uri {shown(uri)!r} is no URL that can be asked: {type(error).__name__}"
        raise InvalidInput(msg) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        msg = f"data.uri {shown(uri)!r} could not be read: no whole answer: {str(reason) or type(reason).__name__}"
        raise Unavailable(msg) from error


def _ask(uri: str) -> Any:
    request = urllib.request.Request(uri, headers={"User-Agent": "trimtab", "Accept-Encoding": "identity"})  # noqa: S310
    return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)  # noqa: S310


def _validators(uri: str) -> tuple[str, str]:
    """ETag and Last-Modified, by a GET whose body is not read: a signed URI is often signed for GET alone."""
    with _ask(uri) as answer:
        return answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")


def _bring(uri: str, path: Path, limit: int) -> tuple[str, str]:
    with _ask(uri) as answer, path.open("wb") as stream:
        expected = answer.headers.get("Content-Length")
        if expected is not None and int(expected) > limit:
            _too_large(uri, limit)
        if expected is None and not answer.chunked:
            msg = "the answer does not say how long it is, so a part of it could not be told from the whole"
            raise http.client.HTTPException(msg)
        size = 0
        while chunk := answer.read(_CHUNK):
            size += len(chunk)
            if size > limit:
                _too_large(uri, limit)
            stream.write(chunk)
    if expected is not None and size != int(expected):
        msg = f"{size} of {expected} bytes came"
        raise http.client.HTTPException(msg)
    return answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")


def _too_large(uri: str, limit: int) -> None:
    msg = f"data.uri {shown(uri)!r} is larger than {limit} bytes: name a smaller file, or files in an object store"
    raise InvalidInput(msg)
