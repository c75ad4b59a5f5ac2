"""Rollouts between the API's own shapes and those of planner and store."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from pydantic import BaseModel
from sqlalchemy.orm import Session

from annexfleet_controller.access.person import Person
from annexfleet_controller.api.rollout_shapes import (
    DeviceRef,
    ExpectedWaveOut,
    ForecastOut,
    GateOut,
    GateReasonOut,
    ImpossibleOut,
    NatureOut,
    NewRollout,
    PlannedWaveOut,
    PreviewOut,
    RolloutOut,
    RolloutSummary,
    SpanOut,
    TallyOut,
    TargetOut,
    VerdictOut,
    WaveOut,
    WindowOut,
)
from annexfleet_controller.errors import Invalid
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.rollouts import permitted, wording
from annexfleet_controller.rollouts.permitted import Hand
from annexfleet_controller.rollouts.proposing import Preview, Wish
from annexfleet_controller.store import annexes, rollout_targets, rollouts
from annexfleet_controller.store.rollout_targets import TargetRow
from annexfleet_controller.store.rollouts import Detail, Summary
from annexfleet_controller.waves import documents
from annexfleet_controller.waves.forecast import Forecast
from annexfleet_controller.waves.model import TARGET_STATES, Candidate, Nature, TargetState


def wish(new: NewRollout) -> Wish:
    """Raises Invalid, whose `field` begins with `selector.` or `policy.`."""
    try:
        selector = documents.parse_selector(new.selector)
    except Invalid as wrong:
        raise _below("selector", wrong) from None
    try:
        policy = documents.parse_policy(new.policy)
    except Invalid as wrong:
        raise _below("policy", wrong) from None
    return Wish(
        name=new.name, playbook=new.playbook, variables=new.variables, secrets=new.secrets, selector=selector,
        policy=policy, reason=new.reason, deadline_s=new.deadline_s,
    )  # fmt: skip


def without_secrets(asked: BaseModel) -> dict[str, Any]:
    """What a repeat is compared with: names only, for not even a digest of a secret belongs in the database."""
    fields = asked.model_dump(mode="json")
    return {**fields, "secrets": sorted(fields.get("secrets", ()))}


def hand(db: Session, person: Person, rollout_id: int) -> Hand:
    return Hand(
        name=person.name, may_approve=person.may("approve_rollouts"),
        sees_all=rollouts.may_change(db, person.scope, rollout_id),
    )  # fmt: skip


def out(db: Session, person: Person, found: Detail) -> RolloutOut:
    waves = rollout_targets.waves(db, person.scope, found.id)
    return RolloutOut(
        **_common(found), variables=dict(found.variables), secret_names=list(found.secret_names),
        selector=documents.written_selector(found.selector), policy=documents.written_policy(found.policy),
        nature=_nature(found.nature), reason=found.reason, deadline_s=found.deadline_s,
        targets_digest=found.targets_digest, plan_digest=found.plan_digest, bundle_digest=found.bundle_digest,
        needs_approval=found.needs_approval, submitted_by=found.submitted_by, submitted_at=found.submitted_at,
        approved_by=found.approved_by, approved_at=found.approved_at, started_by=found.started_by,
        wave_since=found.wave_since, dry_run=found.dry_run_id, gate=found.gate.word if found.gate else None,
        waves=[WaveOut(number=number, targets=_tally(tally)) for number, tally in waves.items()],
        may=list(permitted.may(found, hand(db, person, found.id))),
    )  # fmt: skip


def summary(found: Summary) -> RolloutSummary:
    return RolloutSummary(**_common(found))


def target(row: TargetRow) -> TargetOut:
    fields = msgspec.structs.asdict(row)
    return TargetOut(
        device=row.device_id, name=row.device_name, annex=row.annex_id, run=row.run_id,
        **{name: fields[name] for name in TargetOut.model_fields if name in fields},
    )  # fmt: skip


def gate(db: Session, person: Person, found: Detail, language: Language, *, now: datetime) -> GateOut:
    verdict = None
    if found.gate is not None:
        named = "name_ar" if language.code == "ar" else "name_fr"
        places = {place.id: getattr(place, named) for place in annexes.listing(db, person.scope)}
        lines = wording.grounds(language, found.gate, places=places, now=now)
        verdict = VerdictOut(
            word=found.gate.word, at=found.gate.at, look_again_at=found.gate.look_again_at,
            reasons=[
                GateReasonOut(code=reason.code, facts=dict(reason.facts), text=wording.in_one_line(line))
                for reason, line in zip(found.gate.reasons, lines, strict=True)
            ],
        )  # fmt: skip
    return GateOut(state=found.state, phase=found.phase, wave=found.wave, verdict=verdict)


def forecast(of: Forecast) -> ForecastOut:
    return ForecastOut(
        ends_at=of.ends_at, seconds_left=of.seconds_left, why=of.why, is_cut=of.is_cut, late_at=of.late_at,
        waves=[
            ExpectedWaveOut(
                number=wave.number, begins_at=wave.begins_at, rolled_at=wave.rolled_at, soaked_at=wave.soaked_at,
                spans=[SpanOut(start=start, end=end) for start, end in wave.spans],
                is_after_deadline=wave.is_after_deadline,
            )
            for wave in of.waves
        ],
    )  # fmt: skip


def preview(of: Preview, expected: Forecast) -> PreviewOut:
    refs = {number: _ref(candidate) for number, candidate in of.candidates.items()}

    def named(numbers: Iterable[int]) -> list[DeviceRef]:
        return [refs[number] for number in numbers]

    return PreviewOut(
        device_count=of.plan.device_count,
        waves=[
            PlannedWaveOut(number=wave.number, why=list(wave.why), devices=named(wave.devices))
            for wave in of.plan.waves
        ],
        compliant=named(of.plan.compliant), unreachable=named(of.plan.unreachable),
        impossible=[ImpossibleOut(device=refs[one.device], service=one.service) for one in of.plan.impossible],
        windows=[
            WindowOut(annex=annex_id, spans=[SpanOut(start=start, end=end) for start, end in spans])
            for annex_id, spans in sorted(of.windows.items())
        ],
        nature=_nature(of.nature), targets_digest=of.targets_digest, plan_digest=of.plan_digest,
        bundle_digest=of.bundle_digest, needs_approval=of.needs_approval, why=list(of.why), in_service=of.in_service,
        forecast=forecast(expected),
    )  # fmt: skip


def _below(prefix: str, wrong: Invalid) -> Invalid:
    facts = {**wrong.facts, "field": f"{prefix}.{wrong.facts['field']}"}
    return Invalid(f"{prefix}.{wrong}", **facts)


def _common(found: Summary) -> dict[str, Any]:
    return {
        "id": found.id, "name": found.name, "playbook": found.playbook, "state": found.state, "phase": found.phase,
        "wave": found.wave, "wave_count": found.wave_count, "author": found.author, "created_at": found.created_at,
        "started_at": found.started_at, "ended_at": found.ended_at, "deadline_at": found.deadline_at,
        "state_reason": found.state_reason, "relation": found.relation, "of_rollout": found.of_rollout,
        "version": found.version, "targets": _tally(found.tally),
    }  # fmt: skip


def _tally(tally: Mapping[TargetState, int]) -> TallyOut:
    return TallyOut(**{state: tally.get(state, 0) for state in TARGET_STATES})


def _nature(nature: Nature) -> NatureOut:
    return NatureOut(
        configures=nature.configures, expects={one.fact: one.equals for one in nature.expects},
        interrupts=nature.interrupts, takes_s=nature.takes_s, has_way_back=nature.reverse is not None,
    )  # fmt: skip


def _ref(of: Candidate) -> DeviceRef:
    return DeviceRef(device=of.id, name=of.name, annex=of.annex_id)
