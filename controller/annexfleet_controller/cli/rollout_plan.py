"""What `annexfleet rollout plan` reads and prints: devices and policies as they are typed, and the plan as a text."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from annexfleet_controller.errors import Invalid

if TYPE_CHECKING:
    from annexfleet_controller.rollouts.proposing import Preview
    from annexfleet_controller.store.rollouts import Detail
    from annexfleet_controller.waves.forecast import ExpectedWave, Forecast

_KINDS = {
    "annex": "annexes", "role": "roles", "tag": "tags", "not-tag": "without_tags", "model": "models",
    "agent": "agent_versions", "readiness": "readiness",
}  # fmt: skip
"""What stands before the colon, and the field of the selector."""
WHY = {
    "many_devices": "more than 20 devices",
    "large_share": "a tenth of the fleet or more",
    "many_lately": "more than 20 devices, or a tenth of the fleet, with those of the last 24 hours",
    "always_window": "during opening hours, too",
}
_DEVICES_SHOWN = 10
_SPANS_SHOWN = 3


def selector(text: str) -> dict[str, list[str]]:
    """What `--limit` means, as `waves.documents` reads it; `all` is an empty one.  Raises Invalid."""
    found: dict[str, list[str]] = {}
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts:
        kind, colon, name = part.partition(":")
        if colon and kind in _KINDS and name:
            found.setdefault(_KINDS[kind], []).append(name)
        elif part.startswith("d-") and not colon:
            found.setdefault("devices", []).append(part)
        elif part != "all":
            known = ", ".join(f"{kind}:..." for kind in _KINDS)
            raise Invalid(f"--limit does not know {part!r}: d-..., {known} or all", field="selector")
    if not parts:
        raise Invalid("--limit names no device", field="selector")
    return found


def policy(preset: str, given: Sequence[str]) -> dict[str, Any]:
    """`--preset` and `--policy NAME=VALUE`, as `waves.documents` reads them.  Raises Invalid."""
    found: dict[str, Any] = {"preset": preset}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise Invalid(f"--policy takes NAME=VALUE, not {text!r}", field="policy")
        found[name] = _number(value)
    return found


def tell(preview: "Preview", forecast: "Forecast") -> None:
    """Print the waves, who is left out and why, when it may be done, and who has to say yes."""
    planned = preview.plan
    print(
        f"{_devices(planned.device_count)} in {len(planned.waves)} waves, of {len(preview.candidates)} that are meant "
        f"and {preview.in_service} in service"
    )
    expected = {wave.number: wave for wave in forecast.waves}
    for wave in planned.waves:
        annexes = {preview.candidates[number].annex_id for number in wave.devices}
        why = f" ({', '.join(wave.why)})" if wave.why else ""
        print(f"\nwave {wave.number}: {_devices(len(wave.devices))} of {len(annexes)} annexes{why}")
        if wave.number in expected:
            print(f"  expected {when(expected[wave.number])}")
        _list(preview, wave.devices)
    if planned.compliant:
        print(f"\ncompliant: {_devices(len(planned.compliant))}, nothing to do")
        _list(preview, planned.compliant)
    if planned.unreachable:
        print(f"\nunreachable: {_devices(len(planned.unreachable))}, take no commands and are left out")
        _list(preview, planned.unreachable)
    if planned.impossible:
        services = {one.device: one.service for one in planned.impossible}
        print(f"\nimpossible while people are served: {_devices(len(services))}, the service would stand worse")
        _list(preview, tuple(services), services)
    _tell_windows(preview.windows)
    print(f"\nif it began now: {end(forecast)}")
    print(f"\ndevices {preview.targets_digest}\nplan    {preview.plan_digest}")
    if preview.needs_approval:
        print(f"needs a second person: {', '.join(WHY.get(code, code) for code in preview.why)}")
    else:
        print("needs no second person")


def when(wave: "ExpectedWave") -> str:
    """When a wave is changed and until when it is watched, as far as it can be foretold."""
    spans = [f"{since:%a %Y-%m-%d %H:%M} to {until:%a %Y-%m-%d %H:%M}" for since, until in wave.spans[:_SPANS_SHOWN]]
    if len(wave.spans) > _SPANS_SHOWN:
        spans.append(f"… until {wave.rolled_at:%a %Y-%m-%d %H:%M}")
    if wave.soaked_at > wave.rolled_at:
        spans.append(f"watched until {wave.soaked_at:%a %Y-%m-%d %H:%M}")
    late = "; after the deadline: it will not be begun" if wave.is_after_deadline else ""
    return f"{', '.join(spans)} UTC{late}" if spans else "nothing to do"


def end(forecast: "Forecast") -> str:
    """When all of it is over."""
    if forecast.why == "no_window":
        return "an annex has no window with room for it within 60 days"
    if forecast.late_at is not None and forecast.ends_at is not None:
        return (
            f"the deadline, {forecast.ends_at:%a %Y-%m-%d %H:%M} UTC, comes before the end, "
            f"{forecast.late_at:%a %Y-%m-%d %H:%M} UTC: some devices would not be begun"
        )
    return f"over {forecast.ends_at:%a %Y-%m-%d %H:%M} UTC" if forecast.ends_at else "nobody can tell when it is over"


def as_json(preview: "Preview", draft: "Detail | None", forecast: "Forecast") -> dict[str, Any]:
    """With every device, by id; moments in UTC."""
    import msgspec

    def ids(numbers: Collection[int]) -> list[str]:
        return [preview.candidates[number].id for number in numbers]

    planned = preview.plan
    return {
        "draft": None if draft is None else {"id": draft.id, "version": draft.version},
        "device_count": planned.device_count,
        "waves": [
            {"number": wave.number, "why": list(wave.why), "devices": ids(wave.devices)} for wave in planned.waves
        ],
        "compliant": ids(planned.compliant), "unreachable": ids(planned.unreachable),
        "impossible": [
            {"device": preview.candidates[one.device].id, "service": one.service} for one in planned.impossible
        ],
        "windows": {
            annex_id: [[start.isoformat(), end.isoformat()] for start, end in spans]
            for annex_id, spans in sorted(preview.windows.items())
        },
        "targets_digest": preview.targets_digest, "plan_digest": preview.plan_digest,
        "bundle_digest": preview.bundle_digest, "needs_approval": preview.needs_approval, "why": list(preview.why),
        "in_service": preview.in_service, "forecast": msgspec.to_builtins(forecast),
    }  # fmt: skip


def _tell_windows(windows: Mapping[str, Sequence[tuple[datetime, datetime]]]) -> None:
    """Annexes with the same hours together."""
    alike: dict[tuple[tuple[datetime, datetime], ...], list[str]] = {}
    for annex_id, spans in sorted(windows.items()):
        alike.setdefault(tuple(spans), []).append(annex_id)
    print("\nwindows of the next seven days (UTC)")
    for together, annexes in alike.items():
        names = ", ".join(annexes[:_DEVICES_SHOWN]) + (" …" if len(annexes) > _DEVICES_SHOWN else "")
        print(f"  {names}")
        for start, end in together[:_SPANS_SHOWN]:
            print(f"    {start:%a %Y-%m-%d %H:%M} to {end:%a %Y-%m-%d %H:%M}")
        if not together:
            print("    none")
        elif len(together) > _SPANS_SHOWN:
            print(f"    and {len(together) - _SPANS_SHOWN} more")


def _list(preview: "Preview", numbers: Sequence[int], notes: Mapping[int, str] | None = None) -> None:
    from annexfleet_controller.rollouts.masking import plain

    for number in numbers[:_DEVICES_SHOWN]:
        of = preview.candidates[number]
        note = f"  {notes[number]}" if notes else ""
        print(f"  {of.id}  {plain(of.name)}  {of.annex_id}{note}")
    if len(numbers) > _DEVICES_SHOWN:
        print(f"  and {len(numbers) - _DEVICES_SHOWN} more; --json has all")


def _devices(count: int) -> str:
    return f"{count} device{'' if count == 1 else 's'}"


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
