"""What of KServe's application is not as Open Inference has it, or not for callers: versioned paths, loading and unloading.

KServe answers 501 to each path with a version, and lets anybody who can ask for a prediction unload the model.
"""

from serving.predictor.asgi import App, Message, Receive, Send, refusal, respond

_REPOSITORY = "/v2/repository/"


class Versioned:
    """An ASGI application before `behind`, KServe's own, for one version of one model."""

    def __init__(self, behind: App, name: str, version: str) -> None:
        self._behind = behind
        self._name = name
        self._version = version
        self._model = f"/v2/models/{name}"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI 3.0."""
        path = scope["path"] if scope["type"] == "http" else ""
        if path.startswith(_REPOSITORY):
            await _not_found(send, "the model that is served is not loaded or unloaded by its callers")
        elif path.startswith(f"{self._model}/versions/"):
            version, _, rest = path.removeprefix(f"{self._model}/versions/").partition("/")
            if version == self._version:
                bare = f"{self._model}/{rest}".rstrip("/")
                await self._behind({**scope, "path": bare, "raw_path": bare.encode()}, receive, send)
            else:
                await _not_found(send, f"found version {version!r:.60} of {self._name!r}, only {self._version!r} is served here")
        else:
            await self._behind(scope, receive, send)


async def _not_found(send: Send, sentence: str) -> None:
    await respond(send, refusal(404, sentence))
