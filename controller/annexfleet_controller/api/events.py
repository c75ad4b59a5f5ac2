"""/api/v1/events: what happens, as it happens (server-sent events).

The only async handler, so that an open page costs no thread.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from annexfleet_controller.access.asked import EngineOf, LanguageOf
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import problems
from annexfleet_controller.api.hub import Hub, Listener
from annexfleet_controller.api.paging import LARGEST_ID
from annexfleet_controller.store import annexes, fleet
from annexfleet_controller.store.database import reading

router = APIRouter(prefix="/api/v1", tags=["events"], responses=problems.RESPONSES)

HEARTBEAT_S = 15.0
"""Proxies end a connection on which nothing moves, mostly after a minute."""


def _visible(
    person: Annotated[Person, Depends(Needs("look"))],
    engine: EngineOf,
    device: Annotated[str, Query(max_length=28, description="Only this device, with its newest values")] = "",
    annex: Annotated[str, Query(max_length=63, description="Only the devices of this annex")] = "",
) -> tuple[str, str]:
    with reading(engine) as db:  # answered here, because this handler holds its connection open for hours
        if device:
            fleet.device(db, person.scope, device)
        if annex:
            annexes.get(db, person.scope, annex)
    return device, annex


@router.get("/events", response_class=StreamingResponse, responses={429: {"model": problems.Problem}})
async def follow(
    *,
    request: Request,
    person: Annotated[Person, Depends(Needs("look"))],
    visible: Annotated[tuple[str, str], Depends(_visible, scope="function")],
    language: LanguageOf,
    watch: Annotated[bool, Query(description="Let the device report every 2 s while this stream is open")] = False,
    last_event_id: Annotated[str, Header(max_length=20)] = "",
) -> StreamingResponse:
    """A stream of `device` events: who moved, and how (`beat`, `change`, `live`, `hello`, `gone`,
    `command`); and of `annex` events: where something else changed (`alert`, `incident`, `readiness`, `maintenance`,
    `run`, `rollout`).

    `refresh` says that something may have been missed: ask for everything anew.  `Last-Event-ID` resumes.
    One session may have 8 open, one person 20.
    """
    device_id, annex_id = visible
    hub: Hub = request.app.state.hub
    listener = Listener(person, device_id=device_id, annex_id=annex_id, watch=watch)
    return Stream(hub, listener, _events(hub, listener, language.code, _number(last_event_id)))


def _number(last_event_id: str) -> int | None:
    return min(int(last_event_id), LARGEST_ID) if last_event_id.isdecimal() else None


class Stream(StreamingResponse):
    """Events as they come.  It counts as open from its first moment, and is forgotten however it ends."""

    def __init__(self, hub: Hub, listener: Listener, events: AsyncIterator[bytes]) -> None:
        super().__init__(
            events,
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        self._hub = hub
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises TooManyStreams, before anything was sent."""
        self._hub.add(self._listener)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._hub.remove(self._listener)


async def _events(hub: Hub, listener: Listener, language: str, last_id: int | None) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n"
    if last_id is not None:
        for event in await run_in_threadpool(hub.since, listener, last_id):
            yield event.encoded(language)
    while True:
        try:
            event = await asyncio.wait_for(listener.queue.get(), HEARTBEAT_S)
        except TimeoutError:
            yield b": still here\n\n"
            continue
        if event.name == "end":
            return
        yield event.encoded(language)
