"""The HTTP listeners: uvicorn, with patience that ends.

A connection that says nothing, or only half of something, costs its place; uvicorn alone would keep it for ever.
"""

import asyncio
import asyncio.constants
import ssl
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from annexfleet_controller.access.guessing import asker

HEAD_WITHIN_S = 10.0
"""From the first moment of a connection, or the first byte of a further request, to the end of the request's head."""
BODY_WITHIN_S = 20.0
HANDSHAKE_WITHIN_S = 10.0
STOP_WITHIN_S = 2
"""For answers that are under way; live pages are told to end before that."""


class Patience(H11Protocol):
    """One connection.  It is closed if its client lets us wait too long, or has too many of them."""

    most_of_an_address: int | None = None
    """Of IPv6 the network (/64) counts as one address.  None where everybody comes through the same proxy."""
    _open: "Counter[str]"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # it is asyncio.Transport there
        self._timer: asyncio.TimerHandle | None = None
        self._awaited: object = None
        self._asker = asker(self.client[0] if self.client else "")
        self._open[self._asker] += 1
        if self.most_of_an_address is not None and self._open[self._asker] > self.most_of_an_address:
            self.transport.abort()
        else:
            self._wait_for_client()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._open[self._asker] -= 1
        if self._open[self._asker] <= 0:
            del self._open[self._asker]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait_for_client()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._stop_waiting()
        if self.conn.their_state is not h11.IDLE or self.conn.trailing_data[0]:
            self._wait_for_client()  # else uvicorn itself waits for the first byte of the next request

    def _wait_for_client(self) -> None:
        """Go on waiting for the same thing, begin to wait for the next, or stop."""
        awaited = self.conn.their_state
        if awaited is self._awaited:
            return
        self._stop_waiting()
        within_s = {h11.IDLE: HEAD_WITHIN_S, h11.SEND_BODY: BODY_WITHIN_S}.get(awaited)
        if within_s is not None and not self.transport.is_closing():
            self._awaited = awaited
            self._timer = self.loop.call_later(within_s, self.transport.abort)

    def _stop_waiting(self) -> None:
        self._awaited = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Listener(uvicorn.Server):
    """A server that says when it is about to stop, while answers can still end by themselves."""

    def __init__(self, config: uvicorn.Config, stopping: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: "list[Any] | None" = None) -> None:
        self._stopping()
        await super().shutdown(sockets)


def config(
    app: object,
    host: str,
    port: int,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    trusted_proxies: str = "",
    most_at_once: int | None = None,
    most_of_an_address: int | None = None,
) -> uvicorn.Config:
    """Settings of a listener; without trusted proxies nobody's word on who asks is believed."""
    asyncio.constants.SSL_HANDSHAKE_TIMEOUT = HANDSHAKE_WITHIN_S  # uvicorn has no setting for it
    limits: dict[str, Any] = {"most_of_an_address": most_of_an_address, "_open": Counter()}
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # FastAPI is imported lazily
        host=host,
        port=port,
        http=type("Connection", (Patience,), limits),
        ws="none",
        log_config=None,  # the root logger has a handler already
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies,
        timeout_graceful_shutdown=STOP_WITHIN_S,
        ssl_certfile=certificate,
        ssl_keyfile=str(key) if key else None,
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
        limit_concurrency=most_at_once,
    )
