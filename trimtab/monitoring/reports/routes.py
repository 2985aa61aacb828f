"""The reports over HTTP: a window, a model and the fleet, each as JSON, as a page and as a picture.

A page is answered with a policy that lets it load nothing and run nothing, so that no text from data can become a program.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from trimtab.drawing.page import POLICY, Page, to_html
from trimtab.drawing.picture import png
from trimtab.errors import InvalidInput
from trimtab.monitoring import views
from trimtab.monitoring.http import as_json
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.reports.fleet_page import fleet_page
from trimtab.monitoring.reports.model_page import model_page
from trimtab.monitoring.reports.window_page import window_page

_HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_REPORT = "{report:report|report\\.html|report\\.png}"
_DIGITS = 9

Asked = Callable[[web.Request], Awaitable[str]]
"""Says what a request is about, if its caller may ask: a model, or the namespace of many."""


def report_routes(monitor: Monitor, of_model: Asked, of_all: Asked) -> list[web.RouteDef]:
    """The end-points; each is answered only after `of_model` or `of_all` said yes."""
    pages = _Pages(monitor, of_model, of_all)
    model, window = "/models/{namespace}/{name}", "/models/{namespace}/{name}/windows/{window}"
    return [
        web.get(window, pages.window),
        web.get(f"{window}/{_REPORT}", pages.window_report),
        web.get(f"{model}/{_REPORT}", pages.model_report),
        web.get("/fleet", pages.fleet),
        web.get(f"/fleet/{_REPORT}", pages.fleet_report),
    ]


class _Pages:
    def __init__(self, monitor: Monitor, of_model: Asked, of_all: Asked) -> None:
        self._monitor = monitor
        self._of_model = of_model
        self._of_all = of_all
        self._drawing = asyncio.Semaphore(1)

    async def window(self, request: web.Request) -> web.Response:
        """One window with its checks and distributions."""
        model, number, version = await self._which(request)
        return as_json(await asyncio.to_thread(views.window, self._monitor, model, number, version))

    async def window_report(self, request: web.Request) -> web.Response:
        """One window as a page or a picture."""
        model, number, version = await self._which(request)
        return await self._drawn(request, lambda: window_page(views.window_story(self._monitor, model, number, version)))

    async def model_report(self, request: web.Request) -> web.Response:
        """A model's life as a page or a picture."""
        model = await self._of_model(request)
        return await self._drawn(request, lambda: model_page(views.story(self._monitor, model)))

    async def fleet(self, request: web.Request) -> web.Response:
        """All models that the caller may see, what to look at first coming first."""
        namespace = await self._of_all(request)
        return as_json(await asyncio.to_thread(views.fleet, self._monitor, namespace, datetime.now(UTC)))

    async def fleet_report(self, request: web.Request) -> web.Response:
        """The same as a page or a picture."""
        namespace, now = await self._of_all(request), datetime.now(UTC)
        return await self._drawn(request, lambda: fleet_page(views.fleet(self._monitor, namespace, now), now))

    async def _which(self, request: web.Request) -> tuple[str, int, str | None]:
        model, text = await self._of_model(request), request.match_info["window"]
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
            msg = f"{text[:80]!r} is no window; a whole number from 0 on is allowed"
            raise InvalidInput(msg)
        return model, int(text), request.query.get("version") or None

    async def _drawn(self, request: web.Request, make: Callable[[], Page]) -> web.Response:
        """One page is made at a time: drawing takes a processor, and what comes in has precedence."""
        picture = request.match_info["report"].endswith(".png")
        async with self._drawing:
            body: Any = await asyncio.to_thread(lambda: png(make()) if picture else to_html(make()).encode())
        return web.Response(body=body, headers={**_HEADERS, "Content-Type": "image/png" if picture else "text/html; charset=utf-8"})
