"""/api/v1/commands: single acts of a fixed catalogue on one device, and what became of them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field, JsonValue
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, HomeOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.once import OnceOf
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import paging, problems
from annexfleet_controller.errors import Invalid
from annexfleet_controller.rollouts import commanding
from annexfleet_controller.store import command_reads, fleet
from annexfleet_controller.store.command_reads import Command

router = APIRouter(prefix="/api/v1", tags=["commands"], responses=problems.RESPONSES)

Sending = Annotated[Person, Depends(Needs("send_commands"))]
CommandId = Annotated[str, Path(max_length=32)]
_EXAMPLE: dict[str, JsonValue] = {"name": "restart_service", "parameters": {"unit": "cups.service"}}


class NewCommand(BaseModel):
    """`restart_service` (unit), `clear_print_queue` (printer), `reboot` (delay_s), `diagnostics`, `watch` (seconds)."""

    name: Annotated[str, Field(max_length=40)]
    parameters: Annotated[dict[str, str | int | float | bool], Field(max_length=20)] = {}

    model_config = {"json_schema_extra": {"examples": [_EXAMPLE]}}


class CommandOut(BaseModel):
    id: str
    device: str
    name: str
    parameters: dict[str, str | int | float | bool]
    author: str
    created_at: datetime
    give_up_at: datetime
    """It is not sent any more after this."""
    state: Literal["waiting", "sent", "ended"]
    outcome: Literal["", "done", "refused", "failed", "unknown", "not_sent"]
    """Empty until it ended; `unknown` where the device was cut off in the middle of it."""
    detail: str
    """A code."""
    sent_at: datetime | None
    ended_at: datetime | None
    has_attachment: bool
    device_online: bool
    """Where it is not, a command waits for it until `give_up_at`."""


class CommandPage(BaseModel):
    items: list[CommandOut]
    next: str | None


@router.post("/devices/{device_id}/commands", status_code=201, responses={409: {"model": problems.Problem}})
def send_command(device_id: str, new: NewCommand, person: Sending, once: OnceOf, now: Now) -> CommandOut:
    """Have a device do one thing, once.  It waits for a device that is offline, but no longer than ten minutes.

    409 where the device takes no commands (`takes_no_commands`) or ten wait already (`too_many_commands`).  With an
    `Idempotency-Key` a repeat within a day sends nothing and answers the same.
    """

    def work(db: Session) -> dict[str, Any]:
        command = commanding.send(
            db, person.scope, device_id, new.name, new.parameters, by=person.name, via=person.via, now=now
        )
        return _out(db, person, command, now).model_dump(mode="json")

    return CommandOut.model_validate(once.do(person, new.model_dump(), work, now=now))


@router.get("/devices/{device_id}/commands")
def list_commands(
    *, device_id: str, person: Sending, db: Db, now: Now, cursor: paging.Cursor = "", limit: paging.Limit = 100
) -> CommandPage:
    """The commands of a device, the newest first."""
    device = fleet.device(db, person.scope, device_id)
    found = command_reads.of_device(db, device.number, before=_before(cursor), limit=limit + 1)
    online = device.presence(now) == "online"
    items = [_shown(command, online=online) for command in found[:limit]]
    last = found[limit - 1] if len(found) > limit else None
    last_key = None if last is None else paging.cursor(last.created_at.isoformat(), last.id)
    return CommandPage(items=items, next=last_key)


@router.get("/commands/{command_id}")
def show_command(command_id: CommandId, person: Sending, db: Db, now: Now) -> CommandOut:
    """What became of one."""
    return _out(db, person, command_reads.find(db, person.scope, command_id), now)


@router.get("/commands/{command_id}/attachment", response_class=FileResponse)
def download_attachment(command_id: CommandId, person: Sending, db: Db, home: HomeOf) -> FileResponse:
    """The file that `diagnostics` brought."""
    command = command_reads.find(db, person.scope, command_id)
    path = commanding.attachment(home, command)
    # Whatever a device put in there, a browser shall keep it and not open it.
    return FileResponse(
        path, media_type="application/octet-stream", filename=command.attachment, content_disposition_type="attachment"
    )


def _out(db: Session, person: Person, command: Command, now: datetime) -> CommandOut:
    online = fleet.device(db, person.scope, command.device_id).presence(now) == "online"
    return _shown(command, online=online)


def _shown(command: Command, *, online: bool) -> CommandOut:
    return CommandOut(
        id=command.id, device=command.device_id, name=command.name, parameters=dict(command.parameters),
        author=command.author, created_at=command.created_at, give_up_at=command.give_up_at,
        state=command.state, outcome=command.outcome,  # type: ignore[arg-type]  # written by us alone
        detail=command.detail, sent_at=command.sent_at, ended_at=command.ended_at,
        has_attachment=bool(command.attachment), device_online=online,
    )  # fmt: skip


def _before(text: str) -> tuple[datetime, str] | None:
    keys = paging.keys(text, 2)
    if keys is None:
        return None
    try:
        at = datetime.fromisoformat(keys[0])
    except ValueError:
        raise Invalid("not a cursor", field="cursor") from None
    if not paging.is_in_reach(at):
        raise Invalid("not a cursor", field="cursor")
    return at, keys[1]
