"""Hands a row to the agent that runs on this machine: what `annexfleet-agent queue set` does."""

from typing import Literal

import msgspec

from annexfleet_agent import http1
from annexfleet_agent.queues import token
from annexfleet_agent.queues.rows import FIELDS, Row, service_id
from annexfleet_agent.settings import Settings

TIMEOUT_S = 5.0

Trouble = Literal["push_is_off", "no_token", "token_denied", "agent_not_running", "no_answer", "refused"]


class NotSet(Exception):
    """The agent did not take the figures.  `code` for programs, the text for people."""

    def __init__(self, code: Trouble, text: str) -> None:
        super().__init__(text)
        self.code: Trouble = code


def set_(settings: Settings, row: Row) -> None:
    """Tell the running agent how its queue stands now; figures that are None stay unknown.

    Raises NotSet.
    """
    if not settings.push.port:
        raise NotSet("push_is_off", "the agent does not listen: set `push.port` in agent.toml")
    try:
        well_named = service_id(row.service) == row.service
    except ValueError:
        well_named = False
    if not well_named:
        raise NotSet("refused", f"{row.service!r} is no id of a service: a-z 0-9 . _ -, in lower case, up to 63")
    path = token.path_of(settings)
    try:
        secret = token.read(settings)
    except FileNotFoundError:
        raise NotSet(
            "no_token", f"there is no {path}; the agent makes it when it starts with `push.port` set"
        ) from None
    except PermissionError:
        raise NotSet("token_denied", f"you may not read {path}") from None
    except (OSError, ValueError) as error:
        raise NotSet("no_token", str(error)) from None
    answer = _put(settings.push.port, row, secret)
    if answer.status != 204:
        raise NotSet("refused", _said(answer))


def _put(port: int, row: Row, secret: str) -> http1.Answer:
    figures = {name: value for name in FIELDS if (value := getattr(row, name)) is not None}
    deadline = http1.Deadline(TIMEOUT_S)
    try:
        with http1.dial("127.0.0.1", port, deadline) as connection:
            return http1.request(
                connection,
                "PUT",
                f"/queues/{row.service}",
                host=f"127.0.0.1:{port}",
                deadline=deadline,
                max_bytes=64 * 1024,
                headers={"Authorization": f"Bearer {secret}", "Content-Type": "application/json"},
                body=msgspec.json.encode(figures),
            )
    except ConnectionRefusedError:
        raise NotSet("agent_not_running", f"nobody listens on 127.0.0.1:{port}; is the agent running?") from None
    except (http1.Timeout, http1.Malformed, http1.TooBig, OSError, ValueError) as error:
        raise NotSet("no_answer", f"no answer from 127.0.0.1:{port}: {error}") from None


def _said(answer: http1.Answer) -> str:
    try:
        said = msgspec.json.decode(answer.body, type=dict[str, str])
    except msgspec.DecodeError:
        said = {}
    if said.get("error") == "wrong_token":
        return "the agent does not know this token; is `push.token_file` that of the running agent?"
    return said.get("detail") or said.get("error") or f"status {answer.status}"
