"""Queue figures from a web address that answers with JSON.

The address and its headers come from agent.toml, so they may bear credentials; nothing of them is logged.  Redirects
are not followed: a queue system that redirects usually wants somebody to sign in.
"""

import base64
import socket
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

from annexfleet_agent.http1 import Answer, Deadline, dial, request, system_trust
from annexfleet_agent.protocol.messages import ProblemCode
from annexfleet_agent.queues.source import MAX_ANSWER_BYTES, Fetched, SourceFailed, parse_json
from annexfleet_agent.settings import QueueSource

_CODE_OF_STATUS: dict[int, ProblemCode] = {401: "denied", 403: "denied", 404: "unsupported", 410: "unsupported"}


class Address(NamedTuple):
    """A URL taken apart."""

    tls: bool
    host: str
    port: int
    host_header: str
    target: str
    credentials: str
    """`user:password`, or empty."""


def address(url: str) -> Address:
    """Take a URL apart.  Raises ValueError if it is not http(s), or has no host."""
    parts: SplitResult = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be http://host/… or https://host/…")
    tls = parts.scheme == "https"
    host = parts.hostname
    port = parts.port or (443 if tls else 80)
    shown = f"[{host}]" if ":" in host else host
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (
        f"?{quote(parts.query, safe='/?%:@!$&()*+,;=~-._')}" if parts.query else ""
    )
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
    return Address(tls, host, port, shown if parts.port is None else f"{shown}:{port}", target, credentials)


def fetch(source: QueueSource) -> Fetched:
    """The document at the source's address.

    Raises SourceFailed; Timeout, TooBig and Malformed of http1; ConnectionError and other OSError.
    """
    where = address(source.url)
    headers = {"Accept": "application/json", **source.headers}
    if where.credentials and "authorization" not in {name.lower() for name in headers}:
        headers["Authorization"] = "Basic " + base64.b64encode(where.credentials.encode()).decode("ascii")
    deadline = Deadline(source.timeout_s)
    try:
        connection = dial(where.host, where.port, deadline, tls=system_trust() if where.tls else None)
    except socket.gaierror as error:
        raise SourceFailed("unreachable", f"no address for {where.host}: {error.strerror}") from None
    with connection:
        answer = request(
            connection,
            "GET",
            where.target,
            host=where.host_header,
            deadline=deadline,
            max_bytes=MAX_ANSWER_BYTES,
            headers=headers,
        )
    _accept(answer)
    return Fetched(parse_json(answer.body, "the answer"))


def _accept(answer: Answer) -> None:
    if 300 <= answer.status < 400:
        # The place it leads to may bear a session's secret: only its path is of interest.
        place = urlsplit(answer.headers.get("location", "")).path or "nowhere"
        raise SourceFailed("malformed", f"status {answer.status}, a redirect to {place}; redirects are not followed")
    if answer.status != 200:
        raise SourceFailed(_CODE_OF_STATUS.get(answer.status, "failed"), f"status {answer.status}")
