"""Events of ansible-runner in, rows out.  Thinks only: what is to be written, the run's process writes.

Only events that bear the run's own number (`nonce`) count: ansible-runner reads them off Ansible's output, into which
a device may write what it likes, and nothing there may pass for an event.

A device's outcome comes from Ansible's closing statistics, for until then a failure may yet be rescued.  Only one that
could not be reached is over at once, unless the task says that Ansible goes on with it.  Where there are no statistics,
nobody knows what became of the others: they get no outcome here, and least of all a good one.  Nor are the statistics
believed of devices that Ansible gave up because others failed: they count what was done, not what is missing.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from annexfleet_controller.rollouts import diffs
from annexfleet_controller.rollouts.masking import CENSORED, NOTHING, Mask, plain
from annexfleet_controller.store.run_progress import Batch, Progress, Result, Task

LONGEST_MESSAGE = 2000
_LONGEST_NAME = 200
_LAST_WORDS = 20
BROKEN_OFF = "The playbook was broken off here, for it failed on other devices."

_STATES = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_skipped": "skipped",
    "runner_on_unreachable": "unreachable",
}


class Host:
    """What is known of one device of the run."""

    def __init__(self, number: int, names: Sequence[str]) -> None:
        self.number = number
        self.names = names
        self.counts = dict.fromkeys(("ok", "changed", "failed", "skipped"), 0)
        self.task_number = 0
        self.task = ""
        self.failed_in = ""
        """The name of the task that failed last."""
        self.message = ""
        self.outcome = ""
        self.changes: list[tuple[int, str, str]] = []
        """Number, key and digest of the text of each task that changes something."""


class Story:
    """Takes events in and hands out what is new, batch by batch."""

    def __init__(
        self,
        hosts: Mapping[str, tuple[int, Sequence[str]]],
        *,
        nonce: int,
        check: bool,
        mask: Mask = NOTHING,
        known: Collection[Task] = (),
    ) -> None:
        """`hosts` gives the number and the names of each device by id; `known` are tasks of earlier attempts."""
        self._hosts = {id_: Host(number, names) for id_, (number, names) in hosts.items()}
        self._nonce = nonce
        self._check = check
        self._mask = mask
        self._tasks = {task.key: task for task in known}
        self._task_of: dict[str, Task] = {}
        """By Ansible's own id, which is new in each attempt."""
        self._seen: dict[str, int] = {}
        self._new_tasks: dict[int, Task] = {}
        self._results: dict[tuple[int, int], Result] = {}
        self._moved: dict[str, Progress] = {}
        self._diffs: dict[str, str] = {}
        self._kept_diffs: set[str] = set()
        self._last_words: list[str] = []
        self.has_begun = False
        """Whether Ansible read the playbook and began."""
        self.has_statistics = False

    def take_in(self, event: Mapping[str, Any]) -> None:
        """Hear one event; what is none of ours, or cannot be understood, changes nothing."""
        name = event.get("event")
        if event.get("job_id") != self._nonce:
            if name in {"verbose", "error"}:
                self._hear_words(event)
            return
        data = event.get("event_data")
        data = data if isinstance(data, Mapping) else {}
        if name == "playbook_on_start":
            self.has_begun = True
        elif name in {"playbook_on_task_start", "playbook_on_handler_task_start"}:
            self._task(data)
        elif name == "runner_on_start":
            self._started(data)
        elif name in _STATES:
            self._result(str(name), data, _beside(event))
        elif name == "playbook_on_stats":
            self._statistics(data, _beside(event).get("given_up"))
        elif name in {"error", "verbose", "warning"}:
            self._hear_words(event)

    def take(self) -> Batch:
        """What is new since the last time."""
        batch = Batch(
            tasks=list(self._new_tasks.values()), results=list(self._results.values()),
            hosts=list(self._moved.values()), diffs=self._diffs,
        )  # fmt: skip
        self._new_tasks, self._results, self._moved, self._diffs = {}, {}, {}, {}
        return batch

    @property
    def last_words(self) -> str:
        """What Ansible said besides events: why it could not begin, for one."""
        return self._mask("\n".join(self._last_words), at_most=LONGEST_MESSAGE)

    @property
    def without_outcome(self) -> list[str]:
        return sorted(id_ for id_, host in self._hosts.items() if not host.outcome)

    # -- events

    def _hear_words(self, event: Mapping[str, Any]) -> None:
        said = event.get("stdout")
        if isinstance(said, str) and (line := plain(said[:LONGEST_MESSAGE]).strip()):
            self._last_words = [*self._last_words, line][-_LAST_WORDS:]

    def _task(self, data: Mapping[str, Any]) -> Task:
        """The task of an event, numbered when it is first seen.

        Ansible's ids are new in each attempt at a run, so a task is known again by its place in the playbook.
        """
        uuid = _text(data.get("task_uuid"))
        if uuid in self._task_of:
            return self._task_of[uuid]
        name = self._mask(_text(data.get("task")) or _text(data.get("name")) or "?", at_most=_LONGEST_NAME)
        name = name.replace("\n", " ")
        place = _text(data.get("task_path")) or name
        self._seen[place] = turn = self._seen.get(place, 0) + 1
        key = hashlib.sha256(f"{place} {turn}".encode()).hexdigest()
        task = self._tasks.get(key)
        if task is None:
            action = _text(data.get("resolved_action")) or _text(data.get("task_action"))
            number = max((task.number for task in self._tasks.values()), default=0) + 1
            task = Task(number=number, key=key, name=name, action=plain(action)[:100])
            self._keep(task)
        self._task_of[uuid] = task
        return task

    def _keep(self, task: Task) -> None:
        self._tasks[task.key] = task
        self._new_tasks[task.number] = task

    def _host(self, data: Mapping[str, Any]) -> tuple[str, Host] | None:
        """The device of an event.  A task that is delegated counts for the device that it is about."""
        id_ = data.get("host")
        host = self._hosts.get(id_) if isinstance(id_, str) else None
        return None if host is None or host.outcome else (str(id_), host)

    def _started(self, data: Mapping[str, Any]) -> None:
        if (found := self._host(data)) is None:
            return
        id_, host = found
        task = self._task(data)
        host.task_number, host.task = task.number, task.name
        self._moved[id_] = self._progress(host)

    def _result(self, event: str, data: Mapping[str, Any], beside: Mapping[str, Any]) -> None:
        if (found := self._host(data)) is None:
            return
        id_, host = found
        task = self._task(data)
        given = beside if event == "runner_on_skipped" else data.get("res")
        res: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
        state = _STATES[event]
        if state == "ok" and res.get("changed") is True:
            state = "changed"
        elif (state == "failed" and data.get("ignore_errors") is True) or (
            state == "unreachable" and beside.get("goes_on") is True
        ):
            state = "ignored"
        if state == "skipped" and self._check and task.predictable and diffs.is_unpredictable(task.action, res):
            self._keep(Task(number=task.number, key=task.key, name=task.name, action=task.action, predictable=False))
        digest = self._difference(host, task, res) if state == "changed" else ""
        message = "" if state in {"ok", "changed", "skipped"} else self._why(res)
        self._results[host.number, task.number] = Result(
            device_number=host.number, task_number=task.number, state=state, duration_s=_seconds(data.get("duration")),
            message=message, diff_digest=digest,
        )  # fmt: skip
        self._count(host, state)
        host.task_number, host.task = task.number, task.name
        if state in {"failed", "unreachable"}:
            host.message, host.failed_in = message, task.name
        if state == "unreachable":
            host.outcome = "unreachable"
        self._moved[id_] = self._progress(host)

    def _difference(self, host: Host, task: Task, res: Mapping[str, Any]) -> str:
        text = diffs.text(res, names=host.names, mask=self._mask)
        digest = diffs.digest(text)
        if digest and digest not in self._kept_diffs:
            self._kept_diffs.add(digest)
            self._diffs[digest] = text
        host.changes.append((task.number, task.key, digest))
        return digest

    def _statistics(self, data: Mapping[str, Any], told: object) -> None:
        self.has_statistics = True
        given_up = set(told) if isinstance(told, list) else set()
        for id_, host in self._hosts.items():
            if host.outcome:
                continue
            host.outcome = self._outcome(id_, data)
            if host.outcome in {"ok", "changed", "skipped"}:
                host.outcome, host.message = ("failed", BROKEN_OFF) if id_ in given_up else (host.outcome, "")
                host.task = host.task if id_ in given_up else ""
            else:
                host.task = host.failed_in or host.task
            self._moved[id_] = self._progress(host)

    def _outcome(self, id_: str, data: Mapping[str, Any]) -> str:
        if _count(data, "dark", id_):
            return "unreachable"
        if _count(data, "failures", id_):
            return "failed"
        if _count(data, "changed", id_):
            return "changed"
        return "ok" if _count(data, "processed", id_) else "skipped"

    # -- what they come to

    @staticmethod
    def _count(host: Host, state: str) -> None:
        if state in {"ok", "changed", "ignored"}:
            host.counts["ok"] += 1
        if state == "changed":
            host.counts["changed"] += 1
        elif state in {"failed", "unreachable"}:
            host.counts["failed"] += 1
        elif state == "skipped":
            host.counts["skipped"] += 1

    @staticmethod
    def _progress(host: Host) -> Progress:
        return Progress(
            device_number=host.number, state="ended" if host.outcome else "running", outcome=host.outcome,
            ok_count=host.counts["ok"], changed_count=host.counts["changed"], failed_count=host.counts["failed"],
            skipped_count=host.counts["skipped"], task_number=host.task_number, task=host.task, message=host.message,
            diff_digest=diffs.digest_of_all((key, digest) for _, key, digest in sorted(host.changes)),
        )  # fmt: skip

    def _why(self, res: Mapping[str, Any]) -> str:
        """Why a task failed, in Ansible's words."""
        if "censored" in res or res.get("_ansible_no_log"):
            return CENSORED
        said = [_text(res.get("reason"))]
        items = res.get("results")
        if isinstance(items, list):
            failed = [
                item for item in items if isinstance(item, Mapping) and (item.get("failed") or "censored" in item)
            ]
            said += [CENSORED if "censored" in item else _text(item.get("msg")) for item in failed[:5]]
        # Of a loop it only says that some items failed, which comes after what they say.
        said.append(_text(res.get("msg")))
        for stream in ("module_stderr", "stderr", "module_stdout", "stdout"):
            if tail := _text(res.get(stream)).strip():
                said.append(tail[-LONGEST_MESSAGE:] if len(tail) > LONGEST_MESSAGE else tail)
                break
        return self._mask("\n".join(dict.fromkeys(line for line in said if line)), at_most=LONGEST_MESSAGE)


def _beside(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """What our own plugin says beside an event (`environment`); it says nothing beside most."""
    try:
        said = json.loads(_text(event.get("stdout")) or "{}")
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e7 else 0.0


def _count(data: Mapping[str, Any], what: str, id_: str) -> int:
    of = data.get(what)
    number = of.get(id_) if isinstance(of, Mapping) else 0
    return number if isinstance(number, int) else 0
