"""/runs: what Ansible did, does and would do; /runs/<id>: one run, live."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.rollouts import ordering
from annexfleet_controller.rollouts.ordering import Asker
from annexfleet_controller.store import fleet, run_hosts, run_results, runs
from annexfleet_controller.web import diffs
from annexfleet_controller.web.pages.province import names_of
from annexfleet_controller.web.render import Page, WantedBlock

router = APIRouter(prefix="/runs", include_in_schema=False)

Running = Annotated[Person, Depends(Needs("run_playbooks"))]
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
Standing = Literal[
    "", "waiting", "running", "ok", "changed", "failed", "unreachable", "cancelled", "unknown", "skipped"
]
State = Literal["", "queued", "running", "ok", "failed", "cancelled", "timed_out", "unknown"]
STATES = ("queued", "running", *runs.RUN_OUTCOMES)
FIRST = ("failed", "unreachable", "unknown", "running", "changed", "ok", "skipped", "cancelled", "waiting")
"""What needs somebody stands on top."""
TO_RETRY = ("failed", "unreachable", "unknown", "cancelled")
_LISTED = 50
_HOSTS_SHOWN = 200
_GROUPS_SHOWN = 30
_NAMES_SHOWN = 300


class Part(Struct, frozen=True):
    """One piece of the bar: devices that stand alike."""

    standing: str
    count: int
    start: float
    """Of 100."""
    width: float
    chosen: bool


class Variable(Struct, frozen=True):
    name: str
    value: str
    is_secret: bool


class Group(Struct, frozen=True):
    """Devices that a run changes alike, or would."""

    count: int
    devices: list[tuple[str, str]]
    left_out: int
    diffs: list[diffs.Diff]
    added: int
    removed: int
    is_partial: bool = False
    """They failed after these changes: there may be more."""


@router.get("")
def list_runs(
    *,
    person: Running,
    db: Db,
    page: Page,
    block: WantedBlock,
    state: State = "",
    playbook: Annotated[str, Query(max_length=80)] = "",
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> HTMLResponse:
    """Asked by htmx, only the list; `before` is the number of a run: those before it are shown."""
    found = runs.listing(db, person.scope, state=state, playbook=playbook, before=before, limit=_LISTED + 1)
    asked = {"state": state, "playbook": playbook}
    narrowed = {name: value for name, value in asked.items() if value}
    place = narrowed | ({"before": str(before)} if before else {})
    shown = found[:_LISTED]
    return page(
        "runs.html",
        block="list" if block == "list" else "",
        lines=[(run, bar(run.hosts)) for run in shown],
        asked=asked,
        states=STATES,
        playbooks=runs.played(db, person.scope),
        is_narrowed=bool(place),
        query=urlencode(place),
        older=urlencode(narrowed | {"before": str(shown[-1].id)}) if len(found) > _LISTED else "",
        events="/api/v1/events",
    )


@router.get("/{run_id}")
def show(
    *,
    run_id: Id,
    person: Running,
    db: Db,
    language: LanguageOf,
    page: Page,
    block: WantedBlock,
    standing: Standing = "",
    after: Annotated[str, Query(max_length=28)] = "",
) -> HTMLResponse:
    """Asked by htmx, only its state."""
    return whole(
        db, person, run_id, language, page, block="state" if block == "state" else "", standing=standing, after=after
    )


def whole(
    db: Session,
    person: Person,
    run_id: int,
    language: LanguageOf,
    page: Page,
    *,
    block: str = "",
    standing: str = "",
    after: str = "",
    status: int = 200,
    problem: tuple[str, Mapping[str, Any]] = ("", {}),
) -> HTMLResponse:
    """The page of a run, also with why it could not be done again: an error's code, and its facts."""
    run = runs.find(db, person.scope, run_id)
    alike = [group for group in run_results.diff_groups(db, person.scope, run_id) if group.digest]
    groups = [_group(db, run, group) for group in alike[:_GROUPS_SHOWN]]
    hosts, more = _hosts(db, person, run, standing, after)
    rollout_id = ordering.rollout_of(run)
    again = [s for s in TO_RETRY if getattr(run.hosts, s)]
    place = {name: value for name, value in {"standing": standing, "after": after}.items() if value}
    return page(
        "run.html",
        block=block,
        status=status,
        run=run,
        bar=bar(run.hosts, standing),
        working=_working(db, person, run),
        variables=_variables(run, language),
        groups=groups,
        others=sum(len(group.devices) for group in alike[1:]),
        groups_left_out=max(0, len(alike) - _GROUPS_SHOWN),
        unpredictable=run_results.unpredictable(db, run_id) if run.check else [],
        hosts=hosts,
        places=names_of(db, person.scope, language.code, with_retired=True),
        standing=standing,
        more=urlencode({"standing": standing, "after": more}) if more else "",
        is_cut=not standing and len(hosts) < run.hosts.all,
        query=urlencode(place),
        may_stop=run.state != "ended" and run.cancelled_at is None and runs.may_stop(db, person.scope, run_id),
        retry_count=sum(getattr(run.hosts, s) for s in again) if run.state == "ended" else 0,
        may_apply=rollout_id is None
        and run.check
        and run.state == "ended"
        and run.kind == "playbook"
        and run.hosts.all > 0,
        rollout_id=rollout_id,
        failed_count=sum(getattr(run.hosts, standing) for standing in ("failed", "unreachable", "unknown")),
        problem=problem,
        events="/api/v1/events",
    )


@router.get("/{run_id}/devices/{device_id}")
def show_device(
    *,
    run_id: Id,
    device_id: Annotated[str, Path(max_length=28)],
    person: Running,
    db: Db,
    page: Page,
    block: WantedBlock,
) -> HTMLResponse:
    """What the run did on one device, task by task."""
    run = runs.find(db, person.scope, run_id)
    host = run_hosts.host(db, person.scope, run_id, device_id)
    return page(
        "run_device.html",
        block="state" if block == "state" else "",
        run=run,
        host=host,
        results=[(r, diffs.diff("", r.diff)) for r in run_results.of_host(db, run_id, host.device_number)],
        events="/api/v1/events" if run.state != "ended" else "",
        in_service=bool(fleet.device_names(db, person.scope, [device_id])),
    )


@router.post("/{run_id}/cancel")
def cancel(run_id: Id, person: Running, db: WritingDb, now: Now) -> Response:
    """Ask for its end; the devices stop at once."""
    ordering.cancel(db, run_id, Asker(name=person.name, via=person.via, scope=person.scope), now=now)
    return RedirectResponse(f"/runs/{run_id}", 303)


def bar(tally: runs.Tally, chosen: str = "") -> list[Part]:
    """The pieces of the bar: what ended first, what waits last."""
    order = ("changed", "ok", "skipped", "failed", "unreachable", "unknown", "cancelled", "running", "waiting")
    parts, start = [], 0.0
    for standing in order:
        count = getattr(tally, standing)
        if count:
            width = 100 * count / tally.all
            parts.append(Part(standing, count, round(start, 3), round(width, 3), standing == chosen))
            start += width
    return parts


def _hosts(
    db: Session, person: Person, run: runs.Run, standing: str, after: str
) -> tuple[list[run_hosts.RunHost], str]:
    """The devices that are shown, and after which one more of them come; "" if none do."""
    if standing:
        found = run_hosts.hosts(db, person.scope, run.id, standing=standing, after=after, limit=_HOSTS_SHOWN + 1)
        return found[:_HOSTS_SHOWN], found[_HOSTS_SHOWN - 1].device_id if len(found) > _HOSTS_SHOWN else ""
    shown: list[run_hosts.RunHost] = []
    for one in FIRST:
        if getattr(run.hosts, one) and len(shown) < _HOSTS_SHOWN:
            limit = _HOSTS_SHOWN - len(shown)
            shown += run_hosts.hosts(db, person.scope, run.id, standing=one, limit=limit)
    return shown, ""


def _working(db: Session, person: Person, run: runs.Run) -> list[tuple[str, int]]:
    """The tasks that run now, each with the number of devices at it."""
    if run.state != "running" or not run.hosts.running:
        return []
    hosts = run_hosts.hosts(db, person.scope, run.id, standing="running", limit=1000)
    return Counter(host.task for host in hosts if host.task).most_common(10)


def _variables(run: runs.Run, language: Language) -> list[Variable]:
    known = [Variable(name, shown(value, language), False) for name, value in sorted(run.variables.items())]
    return known + [Variable(name, "", True) for name in sorted(run.secret_names)]


def shown(value: object, language: Language) -> str:
    """A variable's value for people: a list by commas, anything deeper as JSON."""
    if isinstance(value, bool):
        return language.name("variable_choice", "true" if value else "false")
    if isinstance(value, list) and all(isinstance(one, str | int | float) for one in value):
        return ", ".join(str(one) for one in value)
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _group(db: Session, run: runs.Run, group: run_results.DiffGroup) -> Group:
    """Its differences are those of its first device: they are the same on all."""
    parts = [diffs.diff(p.task, p.text) for p in run_results.diff_parts(db, run.id, group.devices[0][0])]
    return Group(
        count=len(group.devices),
        devices=list(group.devices[:_NAMES_SHOWN]),
        left_out=max(0, len(group.devices) - _NAMES_SHOWN),
        diffs=parts,
        added=sum(part.added for part in parts),
        removed=sum(part.removed for part in parts),
        is_partial=group.is_partial,
    )
