"""Where data is, as an address: which schemes a web server answers, and what of an address a sentence may say."""

from urllib.parse import urlsplit

SCHEMES = ("http", "https")


def is_remote(uri: str) -> bool:
    """Whether `uri` names a single file behind a web server."""
    return urlsplit(uri).scheme in SCHEMES


def shown(uri: str) -> str:
    """The URI for a sentence: without what may be a secret, which is its query, fragment and user."""
    parts = urlsplit(uri)
    if parts.scheme not in SCHEMES:
        return uri
    return f"{parts.scheme}://{parts.netloc.rsplit('@', 1)[-1]}{parts.path}"
