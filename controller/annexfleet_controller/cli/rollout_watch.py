"""How a rollout stands and how it goes, for the console: `rollout status`, and `--follow` until it is over."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from annexfleet_controller.cli import exits, interrupted, rollout_plan
from annexfleet_controller.cli.opened import opened, opened_engine
from annexfleet_controller.cli.runs import CODES
from annexfleet_controller.errors import AnnexfleetError
from annexfleet_controller.settings import Home

if TYPE_CHECKING:
    from annexfleet_controller.rollouts.ordering import Asker
    from annexfleet_controller.store.rollout_targets import TargetRow
    from annexfleet_controller.store.rollouts import Detail
    from annexfleet_controller.waves.forecast import Forecast

STATES = (
    "", "open", "draft", "submitted", "approved", "running", "paused", "stopped", "done", "aborted", "superseded",
)  # fmt: skip
_LOOK_EVERY_S = 2.0
"""As often as the conductor does something."""
_WAITS_LONG_S = 30.0
_SHOWN_BY_STATE = ("succeeded", "failed", "timed_out", "unknown", "skipped")
_UNDER_WAY = ("running", "verifying")
_NO_MARKS = dict.fromkeys(map(ord, "\u2066\u2067\u2068\u2069"))
_AN_HOUR_S, _A_MINUTE_S = 3600.0, 60.0


def built(one: object) -> Any:
    """As JSON has it."""
    import msgspec

    return msgspec.to_builtins(one)


# -- once


def status(home: Home, number: int, *, with_devices: bool, as_json: bool) -> int:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import foreseeing
    from annexfleet_controller.store import rollout_targets, rollouts
    from annexfleet_controller.store.database import reading
    from annexfleet_controller.store.scope import WHOLE

    with opened_engine(home) as engine, reading(engine) as db:
        found = rollouts.find(db, WHOLE, number)
        waves = rollout_targets.waves(db, WHOLE, number)
        now = SYSTEM.now()
        forecast = foreseeing.foresee(db, found, now=now)
        # Waves have no time of their own while people are waited for; what they would have is still worth knowing.
        waits = forecast.why == "waits_for_people"
        if_now = foreseeing.foresee(db, found, now=now, as_if_started=True) if waits else forecast
        rows = rollout_targets.listing(db, WHOLE, number) if with_devices else []
    if as_json:
        whole = built(found) | {"waves": {str(wave): tally for wave, tally in waves.items()}}
        whole |= {"forecast": built(forecast)} | ({"devices": built(rows)} if with_devices else {})
        print(json.dumps(whole, ensure_ascii=False, indent=2))
        return exits.DONE
    _tell_whole(found, waves, forecast, if_now)
    for row in rows:
        print(_line(row))
    return exits.DONE


def _tell_whole(
    found: "Detail", waves: Mapping[int, Mapping[Any, int]], forecast: "Forecast", if_now: "Forecast"
) -> None:  # fmt: skip
    from annexfleet_controller.rollouts.masking import plain

    why = f" ({_said(found.state_reason)})" if found.state_reason else ""
    print(f"rollout {found.id}, version {found.version}: {plain(found.name)}, {found.playbook}")
    print(
        f"{found.state}{why}; by {plain(found.author)}{_second(found)}; {found.reason and plain(found.reason)}".rstrip(
            "; "
        )
    )
    expected = {one.number: one for one in if_now.waves}
    whether = "if it went on now, " if if_now is not forecast else ""
    for wave, tally in waves.items():
        here = "  <- " + (found.phase or found.state) if wave and wave == found.wave else ""
        name = f"wave {wave}" if wave else "no wave"
        print(f"  {name:8} {_counts(tally)}{here}")
        if wave in expected:
            print(f"           {whether}expected {rollout_plan.when(expected[wave])}")
    if found.gate is not None:
        print(_gate(found))
    print(_left(forecast) + (f"; if it went on now, {rollout_plan.end(if_now)}" if whether else ""))


def _second(found: "Detail") -> str:
    from annexfleet_controller.rollouts.masking import plain

    if found.approved_by:
        return f", approved by {plain(found.approved_by)}"
    return ", waits for a second person" if found.state == "submitted" else ""


def _gate(found: "Detail") -> str:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.i18n.catalogues import language
    from annexfleet_controller.rollouts import wording

    assert found.gate is not None
    english = language("en")
    lines = wording.grounds(english, found.gate, places={}, now=SYSTEM.now())
    # What keeps names of another script apart on a page is noise on a terminal.
    reasons = "; ".join(wording.in_one_line(line).translate(_NO_MARKS) for line in lines)
    return f"gate {found.gate.word.upper()}: {_plain(reasons)}"


def _plain(value: object) -> str:
    from annexfleet_controller.rollouts.masking import plain

    return plain(str(value))


def _said(text: str) -> str:
    """A code as words; a person's words as they are, without control characters."""
    return text.replace("_", " ") if text.isascii() and text.replace("_", "").isalpha() else _plain(text)


def _left(forecast: "Forecast") -> str:
    if forecast.why == "waits_for_people":
        return "waits for people"
    if forecast.why == "over":
        return "over"
    if forecast.seconds_left is None or forecast.ends_at is None:
        return "nobody can tell when it will be over"
    hours, minutes = divmod(round(forecast.seconds_left / _A_MINUTE_S), 60)
    cut = ", when its time is up" if forecast.is_cut or forecast.why == "no_window" else ""
    if forecast.late_at is not None:
        cut += f" (else it would be over at {forecast.late_at:%Y-%m-%d %H:%M} UTC)"
    return f"about {hours} h {minutes} min left, until {forecast.ends_at:%Y-%m-%d %H:%M} UTC{cut}"


def _counts(tally: Mapping[Any, int]) -> str:
    return ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in tally.items() if count) or "no device"


def _line(row: "TargetRow") -> str:
    why = f"  {_said(row.reason)}" if row.reason else ""
    run = f"  run {row.run_id}" if row.run_id else ""
    return f"{row.state:10} {row.device_id}  {_plain(row.device_name)}{why}{run}"


# -- until it is over


def follow(home: Home, number: int, asker: "Asker") -> int:
    """Tell how it goes; its exit code.  Ends where the gate stopped it, too: then a person has to look.

    The first Ctrl-C asks, the second one pauses it.
    """
    from sqlalchemy.exc import OperationalError

    print(f"rollout {number}", flush=True)
    progress, asked, is_away, may_complain = _Progress(home, number), False, False, True
    began = time.monotonic()
    with interrupted.noted() as interruptions:
        while True:
            try:
                code = progress.look()
                if code is not None:
                    return code
                is_away = False
                if may_complain and progress.is_untouched and time.monotonic() - began > _WAITS_LONG_S:
                    may_complain = False
                    print(
                        "Nothing is begun yet: the windows are closed, or `annexfleet work` does not run.",
                        file=sys.stderr,
                    )
            except OperationalError as error:
                # Away for a while; the rollout is the conductor's, and goes on.
                progress.clear()
                if not is_away:
                    print(f"The database does not answer ({error.orig}). Trying on.", file=sys.stderr)
                is_away = True
            if interruptions.within(_LOOK_EVERY_S):
                progress.clear()
                if asked:
                    _halt(home, number, asker)
                    return CODES["cancelled"]
                print(f"Rollout {number} goes on. Press Ctrl-C once more to pause it.", file=sys.stderr)
                asked = True


class _Progress:
    """A line for each device as it ends, for each wave and each verdict; on a terminal one below that counts."""

    def __init__(self, home: Home, number: int) -> None:
        self.is_untouched = True
        self._home = home
        self._number = number
        self._told: set[str] = set()
        self._before: Detail | None = None
        self._heads: tuple[str, ...] = ()
        self._left = ""
        self._is_terminal = sys.stdout.isatty()
        self._shown = ""

    def look(self) -> int | None:
        """Tell what is new; the exit code once there will be nothing more."""
        found, rows, forecast = _look(self._home, self._number, self._before)
        self._tell_heads(found)
        if forecast is not None:
            self._left = _left(forecast)
        self._tell_devices(rows)
        self._before = found
        self.is_untouched = not any(found.tally.get(state, 0) for state in (*_UNDER_WAY, *_SHOWN_BY_STATE))  # type: ignore[call-overload]
        if found.ended_at is not None or (found.state == "stopped" and not _under_way(found)):
            self.clear()
            return self._end(found)
        if self._is_terminal:
            self._count(found)
        return None

    def clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", flush=True)
            self._shown = ""

    def _tell_heads(self, found: "Detail") -> None:
        heads = [f"wave {found.wave} of {found.wave_count}: {found.phase}"] if found.wave and found.phase else []
        if found.state not in ("running", "done"):
            heads.append(found.state + (f": {_said(found.state_reason)}" if found.state_reason else ""))
        if found.gate is not None and found.gate.word != "go":
            heads.append(_gate(found))
        for head in heads:
            if head not in self._heads:
                self.clear()
                print(head, flush=not self._is_terminal)
        self._heads = tuple(heads)

    def _tell_devices(self, rows: "Sequence[TargetRow]") -> None:
        fresh = [row for row in rows if row.wave and row.state in _SHOWN_BY_STATE and self._key(row) not in self._told]
        if fresh:
            self.clear()
        for row in fresh:
            self._told.add(self._key(row))
            print(_line(row), flush=not self._is_terminal)

    def _key(self, row: "TargetRow") -> str:
        """One that turns up after all is told a second time."""
        return f"{row.device_id} {row.state}"

    def _count(self, found: "Detail") -> None:
        line = f"{_counts(found.tally)}; {self._left}"
        if line != self._shown:
            self.clear()
            print(line, end="", flush=True)
            self._shown = line

    def _end(self, found: "Detail") -> int:
        with opened(self._home) as db:
            from annexfleet_controller.store import rollout_targets
            from annexfleet_controller.store.scope import WHOLE

            waves = rollout_targets.waves(db, WHOLE, found.id)
        why = f" ({_said(found.state_reason)})" if found.state_reason else ""
        print(f"rollout {found.id} {found.state}{why}: {_counts(found.tally)}")
        return exit_code(found, waves)


def exit_code(found: "Detail", waves: Mapping[int, Mapping[Any, int]]) -> int:
    """Of a rollout that is over or was stopped; devices in no wave were left out from the start and do not count."""
    if found.state in ("aborted", "superseded"):
        return CODES["cancelled"]
    if found.state != "done":
        return exits.FAILED
    came = {state: sum(tally.get(state, 0) for wave, tally in waves.items() if wave) for state in _SHOWN_BY_STATE}
    if came["failed"]:
        return exits.FAILED
    if came["unknown"]:
        return CODES["unknown"]
    if came["timed_out"] or (came["skipped"] and found.state_reason == "deadline"):
        return CODES["timed_out"]
    return exits.FAILED if came["skipped"] else exits.DONE


def _under_way(found: "Detail") -> int:
    return sum(found.tally.get(state, 0) for state in _UNDER_WAY)  # type: ignore[call-overload]


def _look(home: Home, number: int, before: "Detail | None") -> "tuple[Detail, Sequence[TargetRow], Forecast | None]":
    """The rollout; its devices and a forecast only where something moved since, for they may be very many."""
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import foreseeing
    from annexfleet_controller.store import rollout_targets, rollouts
    from annexfleet_controller.store.database import open_database, reading
    from annexfleet_controller.store.scope import WHOLE

    engine = open_database(home.database_url)
    try:
        with reading(engine) as db:
            found = rollouts.find(db, WHOLE, number)
            if before is not None and (before.tally, before.version) == (found.tally, found.version):
                return found, (), None
            forecast = foreseeing.foresee(db, found, now=SYSTEM.now())
            return found, rollout_targets.listing(db, WHOLE, number), forecast
    finally:
        engine.dispose()


def _halt(home: Home, number: int, asker: "Asker") -> None:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import proposing
    from annexfleet_controller.store import rollouts
    from annexfleet_controller.store.scope import WHOLE

    try:
        with opened(home) as db:
            version = rollouts.find(db, WHOLE, number).version
            proposing.pause(db, number, asker, version=version, now=SYSTEM.now(), reason="")
        print(f"Rollout {number} is paused; `annexfleet rollout resume {number}` lets it go on.", file=sys.stderr)
    except AnnexfleetError as error:
        print(f"annexfleet: {error}", file=sys.stderr)
