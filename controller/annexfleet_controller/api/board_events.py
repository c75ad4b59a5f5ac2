"""/api/v1/boards/<link>/events, and the same for walls: that something moved in what such a page shows.

It says when to look again and nothing else: no device, no person and no number leaves by it.  How many may be open at
once is bounded for each link and each address; a board that is refused looks again by itself now and then.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import StreamingResponse

from annexfleet_controller.access import guessing, links
from annexfleet_controller.access.asked import EngineOf, Now
from annexfleet_controller.access.door import Anybody, client_address
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import problems
from annexfleet_controller.api.events import HEARTBEAT_S, Stream
from annexfleet_controller.api.hub import BoardListener, Event, Hub

router = APIRouter(prefix="/api/v1", responses=problems.RESPONSES, include_in_schema=False)

_SLOW = frozenset({"beat", "live", "command"})
"""Only averages move: no reason to hurry."""


Anyone = Annotated[Person | None, Depends(Anybody())]


def _visitor(
    request: Request,
    engine: EngineOf,
    now: Now,
    link: Annotated[str, Path(max_length=100)],
) -> links.Visitor:
    """Answered here, because the handler holds its connection open for hours."""
    return links.board_visitor(engine, link, address=client_address(request), now=now)


def _wall_visitor(
    request: Request,
    engine: EngineOf,
    now: Now,
    link: Annotated[str, Path(max_length=100)],
) -> links.Visitor:
    return links.wall_visitor(engine, link, address=client_address(request), now=now)


@router.get("/boards/{link}/events", response_class=StreamingResponse)
async def follow(
    _person: Anyone, request: Request, visitor: Annotated[links.Visitor, Depends(_visitor, scope="function")]
) -> StreamingResponse:
    """`moved` with `soon` or `later`, or `refresh` where something may have been missed."""
    return _stream(request, visitor)


@router.get("/walls/{link}/events", response_class=StreamingResponse)
async def follow_wall(
    _person: Anyone, request: Request, visitor: Annotated[links.Visitor, Depends(_wall_visitor, scope="function")]
) -> StreamingResponse:
    """The same for a wall."""
    return _stream(request, visitor)


def _stream(request: Request, visitor: links.Visitor) -> StreamingResponse:
    hub: Hub = request.app.state.hub
    address = guessing.asker(client_address(request))
    listener = BoardListener(visitor.link_id, scope=visitor.scope, address=address)
    return Stream(hub, listener, _events(listener))


async def _events(listener: BoardListener) -> AsyncIterator[bytes]:
    # What moved while the line was lost is found by looking once; there is nothing to resume.
    yield b"retry: 3000\n\nevent: refresh\ndata: soon\n\n"
    while True:
        try:
            events = [await asyncio.wait_for(listener.queue.get(), HEARTBEAT_S)]
        except TimeoutError:
            yield b": still here\n\n"
            continue
        while not listener.queue.empty():
            events.append(listener.queue.get_nowait())
        if any(event.name != "end" for event in events):
            yield f"event: moved\ndata: {_pace(events)}\n\n".encode()
        if any(event.name == "end" for event in events):
            return


def _pace(events: list[Event]) -> str:
    return "later" if all(event.kinds and _SLOW.issuperset(event.kinds) for event in events) else "soon"
