"""What people do to rollouts: drafts, previews, approval, and from one to the next."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from msgspec import structs
from sqlalchemy import Engine
from tests.controller.fleet import device_id
from tests.controller.rollouts.rolling import AMINA, BRAHIM, NATURE, QUICK, Province

from annexfleet_controller.errors import (
    DeviceUnknown,
    Forbidden,
    Invalid,
    RolloutChanged,
    RolloutUnknown,
    VariableWrong,
    WrongState,
)
from annexfleet_controller.rollouts import keeping, proposing, steering
from annexfleet_controller.rollouts.errors import (
    ApprovedAtConsole,
    ApprovedByAuthor,
    NothingToRetry,
    NoWayBack,
    RolloutNotApproved,
    RolloutTargetsChanged,
)
from annexfleet_controller.rollouts.proposing import Asker
from annexfleet_controller.store import audit, pulses, rollout_targets, rollouts, runs
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE, Scope
from annexfleet_controller.store.tables.readings import DeviceState
from annexfleet_controller.store.tables.rollouts import RolloutRow
from annexfleet_controller.waves.model import GateReason, GateVerdict, Selector

IN_1 = Scope(frozenset({"berkane-1"}))


@pytest.fixture
def province(engine: Engine, tmp_path: Path) -> Province:
    return Province(tmp_path, engine)


def previewed(province: Province, asker: Asker = AMINA, **over: object) -> proposing.Preview:
    with reading(province.engine) as db:
        return proposing.preview(db, province.home, province.wish(**over), asker, now=province.clock.at)


def test_a_preview_shows_what_would_be_frozen_and_keeps_nothing(province: Province):
    province.annex("berkane-1", 3)
    province.annex("berkane-2", 3, version="2.0")

    shown = previewed(province)

    assert (shown.plan.device_count, len(shown.plan.compliant), shown.in_service) == (3, 3, 6)
    assert (shown.needs_approval, shown.why) == (True, ("large_share",))
    assert shown.windows["berkane-1"][0][0] == province.clock.at
    assert shown.targets_digest == runs.targets_digest(device_id(n) for n in (1, 2, 3))
    with reading(province.engine) as db:
        assert rollouts.listing(db, WHOLE, limit=10) == []


@pytest.mark.parametrize(
    ("over", "field", "reason"),
    [
        ({"name": " "}, "name", "missing"),
        ({"name": "x" * 121}, "name", "too_long"),
        ({"reason": "x" * 201}, "reason", "too_long"),
        ({"reason": "", "policy": structs.replace(QUICK, window="always")}, "reason", "missing"),
        ({"deadline_s": 60.0}, "deadline_s", "out_of_range"),
        ({"selector": Selector(roles=("tablet",))}, "selector", "nobody"),
    ],
)
def test_a_wish_that_cannot_be(province: Province, over: dict[str, object], field: str, reason: str):
    province.annex("berkane-1", 1)
    with pytest.raises(Invalid) as caught:
        previewed(province, **over)
    assert (caught.value.facts["field"], caught.value.facts["reason"]) == (field, reason)


def test_a_device_or_variable_that_is_not_there(province: Province):
    province.annex("berkane-1", 1)
    with pytest.raises(DeviceUnknown):
        previewed(province, selector=Selector(devices=(device_id(9),)))
    with pytest.raises(VariableWrong):
        previewed(province, variables={"shift_colour": "red"})


def test_who_wrote_it_does_not_approve_it(province: Province):
    province.annex("berkane-1", 3)
    id_ = province.draft()
    assert province.act(proposing.submit, id_, asker=BRAHIM, home=True).state == "submitted"

    for asker in (AMINA, BRAHIM):
        with pytest.raises(ApprovedByAuthor):
            province.act(proposing.approve, id_, asker=asker, home=True)
    found = province.act(proposing.approve, id_, asker=Asker(name="chadia", via="session"), home=True)
    assert (found.state, found.approved_by) == ("approved", "chadia")


def test_who_edited_it_does_not_approve_it_either(province: Province):
    province.annex("berkane-1", 3)
    id_ = province.draft()
    with writing(province.engine) as db:
        wish = province.wish(name="Other")
        proposing.edit(db, province.home, id_, wish, BRAHIM, version=1, now=province.clock.at)
    province.act(proposing.submit, id_, home=True)

    with pytest.raises(ApprovedByAuthor):
        province.act(proposing.approve, id_, asker=BRAHIM, home=True)


def test_secrets_do_not_go_with_anothers_hand(province: Province):
    """Whoever copies or edits another person's rollout could have its secrets sent to a place of their own."""
    province.annex("berkane-1", 3)
    id_ = province.draft(secrets={"shift_key": "a-long-secret"})

    with writing(province.engine) as db, pytest.raises(VariableWrong):
        proposing.clone(db, province.home, id_, BRAHIM, now=province.clock.at)
    with writing(province.engine) as db:
        wish = province.wish(name="Other")
        proposing.edit(db, province.home, id_, wish, BRAHIM, version=1, now=province.clock.at)

    assert keeping.secrets(province.home, id_) == {}


def test_the_time_that_was_approved_is_not_made_longer(province: Province):
    province.annex("berkane-1", 3)
    id_ = province.draft(deadline_s=4 * 3600.0)
    province.act(proposing.submit, id_, home=True)
    province.act(proposing.approve, id_, asker=BRAHIM, home=True)

    with pytest.raises(Invalid) as caught:
        province.act(proposing.start, id_, home=True, deadline_s=5 * 3600.0)

    assert caught.value.facts["field"] == "deadline_s"


def test_a_small_one_needs_nobody_else(province: Province):
    province.annex("berkane-1", 20)
    id_ = province.draft(selector=Selector(devices=(device_id(1),)))

    found = province.act(proposing.submit, id_, home=True)

    assert (found.state, found.needs_approval, found.approved_by) == ("approved", False, "")


def test_every_act_is_written_down_once_and_told(province: Province):
    province.annex("berkane-1", 3)
    id_ = province.started()
    province.act(proposing.pause, id_, reason="Look first")
    province.act(proposing.resume, id_)
    province.act(proposing.abort, id_, reason="No use")

    with reading(province.engine) as db:
        entries = list(reversed(audit.entries(db, IN_1, act="rollout")))
        letters = [pulse.annexes for pulse in all_pulses(db) if "o" in pulse.annexes.get("berkane-1", "")]
    assert [(entry.act, entry.actor) for entry in entries] == [
        ("rollout.create", "amina"), ("rollout.submit", "amina"), ("rollout.approve", "brahim"),
        ("rollout.start", "amina"), ("rollout.pause", "amina"), ("rollout.resume", "amina"), ("rollout.abort", "amina"),
    ]  # fmt: skip
    assert {entry.subject for entry in entries} == {f"rollout:{id_}"}
    assert len(letters) == 7
    assert province.story(id_) == ["created", "submitted", "approved", "started", "paused", "resumed", "aborted"]
    found = province.detail(id_)
    assert (found.state, found.state_reason, found.ended_at) == ("aborted", "No use", province.clock.at)
    assert set(province.states(id_).values()) == {"skipped"}


def all_pulses(db: object) -> list[pulses.Pulse]:
    from sqlalchemy import select

    return [pulses.pulse(*row) for row in db.execute(select(*pulses.COLUMNS))]  # type: ignore[attr-defined]


def test_two_people_who_act_at_once(province: Province):
    province.annex("berkane-1", 3)
    id_ = province.started()
    version = province.detail(id_).version
    province.act(proposing.pause, id_, version=version)

    with pytest.raises(RolloutChanged):
        province.act(proposing.abort, id_, asker=BRAHIM, version=version, reason="No use")
    with pytest.raises(WrongState):
        province.act(proposing.pause, id_)
    assert province.detail(id_).state == "paused"


def test_other_devices_than_were_shown(province: Province):
    province.annex("berkane-1", 2)
    id_ = province.draft()
    digest = province.detail(id_).targets_digest
    province.annex("berkane-2", 1)

    with pytest.raises(RolloutTargetsChanged) as caught:
        province.act(proposing.submit, id_, home=True, targets_digest=digest)
    found = province.act(proposing.submit, id_, home=True, targets_digest=caught.value.facts["digest"])
    assert (found.targets_digest, len(province.states(id_))) == (caught.value.facts["digest"], 3)


def test_frozen_means_frozen(province: Province):
    province.annex("berkane-1", 2)
    id_ = province.draft()
    province.act(proposing.submit, id_, home=True)
    province.annex("berkane-2", 2)
    province.act(proposing.approve, id_, asker=BRAHIM, home=True)
    assert sorted(province.states(id_)) == [1, 2]

    with writing(province.engine) as db:
        rollout_targets.put(db, id_, [rollout_targets.NewTarget(number=3, annex_id="berkane-2", wave=1)])
    with pytest.raises(RolloutNotApproved) as caught:
        province.act(proposing.start, id_, home=True)
    assert caught.value.facts["reason"] == "targets_changed"


def test_a_library_that_changed_is_not_what_was_approved(province: Province):
    province.annex("berkane-1", 2)
    id_ = province.draft()
    province.act(proposing.submit, id_, home=True)
    (province.library / "shift.yml").write_text("- name: Other\n  hosts: all\n")

    with pytest.raises(RolloutNotApproved):
        province.act(proposing.approve, id_, asker=BRAHIM, home=True)


def test_nothing_to_do_is_said_before_anybody_approves(province: Province):
    province.annex("berkane-1", 2, version="2.0")
    id_ = province.draft()
    with pytest.raises(Invalid) as caught:
        province.act(proposing.submit, id_, home=True)
    assert caught.value.facts["reason"] == "nothing_to_do"


def test_after_a_stop_one_goes_on_only_with_a_reason(province: Province):
    province.annex("berkane-1", 6)
    id_ = province.started(policy=structs.replace(QUICK, canary_count=4))
    assert province.roll(id_, outcome="failed").state == "stopped"

    with pytest.raises(Invalid):
        province.act(proposing.resume, id_)
    assert province.act(proposing.resume, id_, reason="Mended").accepted_at == province.clock.at


def test_who_is_confined_sees_their_part_and_changes_nothing_beyond(province: Province):
    province.annex("berkane-1", 2)
    province.annex("berkane-2", 3)
    both, own = province.draft(), province.draft(selector=Selector(annexes=("berkane-1",)))
    there = province.draft(selector=Selector(annexes=("berkane-2",)))
    confined = Asker(name="dounia", via="session", scope=IN_1)

    with reading(province.engine) as db:
        assert [found.id for found in rollouts.listing(db, IN_1, limit=9)] == [own, both]
        assert rollouts.find(db, IN_1, both).tally == {"waiting": 2}
        assert len(rollout_targets.listing(db, IN_1, both)) == 2
        with pytest.raises(RolloutUnknown):
            rollouts.find(db, IN_1, there)
    with pytest.raises(Forbidden):
        province.act(proposing.submit, both, asker=confined, home=True)
    assert province.act(proposing.submit, own, asker=confined, home=True).state == "submitted"


def test_who_is_confined_reads_no_names_beyond_their_annexes(province: Province):
    numbers = [*province.annex("berkane-1", 2), *province.annex("berkane-2", 3)]
    by_annex = province.draft(selector=Selector(annexes=("berkane-1", "berkane-2")))
    by_device = province.draft(selector=Selector(devices=tuple(map(device_id, numbers))))
    reasons = (
        GateReason("bad_of_kind", {"kind": "annex", "value": "berkane-2", "bad": 3}),
        GateReason("bad_of_kind", {"kind": "annex", "value": "berkane-1", "bad": 2}),
        GateReason("now_worse", {"kind": "model", "value": "M1", "hits": 2}),
    )
    verdict = GateVerdict(word="stop", reasons=reasons, at=province.clock.at)
    with writing(province.engine) as db:
        db.get_one(RolloutRow, by_annex).gate = msgspec.json.encode(verdict).decode()

    with reading(province.engine) as db:
        found, other = rollouts.find(db, IN_1, by_annex), rollouts.find(db, IN_1, by_device)
        whole = rollouts.find(db, WHOLE, by_annex)
    assert found.selector == Selector(annexes=("berkane-1",))
    assert other.selector == Selector(devices=tuple(map(device_id, numbers[:2])))
    assert found.gate is not None
    assert [reason.facts["value"] for reason in found.gate.reasons] == ["", "berkane-1", "M1"]
    assert (whole.selector.annexes, whole.gate) == (("berkane-1", "berkane-2"), verdict)


def test_many_small_ones_of_one_person_are_a_large_one(province: Province):
    """A hundred devices as five rollouts of twenty, by hand or by rollout, need a second person all the same."""
    annexes = [province.annex(f"berkane-{n}", 15) for n in range(1, 13)]
    wanted = [Selector(devices=tuple(map(device_id, of))) for of in annexes]
    first = province.draft(selector=wanted[0])
    assert province.act(proposing.submit, first, home=True).state == "approved"
    province.act(proposing.start, first, home=True)

    second = province.draft(selector=wanted[1])
    found = province.act(proposing.submit, second, home=True)
    assert (found.state, found.needs_approval) == ("submitted", True)
    with reading(province.engine) as db:
        wish = province.wish(selector=wanted[1])
        assert proposing.preview(db, province.home, wish, AMINA, now=province.clock.at).why == ("many_lately",)
        # the same devices once more, another person, and another day
        again = province.wish(selector=wanted[0], variables={"shift_version": "3.0"})
        assert proposing.preview(db, province.home, again, AMINA, now=province.clock.at).why == ()
        assert proposing.preview(db, province.home, wish, BRAHIM, now=province.clock.at).why == ()
        # what is under way counts, whenever it was started
        late = province.clock.at + timedelta(hours=24, seconds=1)
        assert proposing.preview(db, province.home, wish, AMINA, now=late).why == ("many_lately",)
    province.act(proposing.abort, first, reason="Enough")
    with reading(province.engine) as db:
        assert proposing.preview(db, province.home, wish, AMINA, now=late).why == ()
    # what a second person said yes to does not count
    province.act(proposing.approve, second, asker=BRAHIM, home=True)
    with reading(province.engine) as db:
        assert proposing.preview(db, province.home, again, AMINA, now=province.clock.at).why == ()


def test_runs_of_ones_own_count_too(province: Province):
    first, second = province.annex("berkane-1", 15), province.annex("berkane-2", 15)
    for n in range(3, 15):
        province.annex(f"berkane-{n}", 15)
    of = [runs.Target(device_id(n), n, "berkane-1") for n in first]
    with writing(province.engine) as db:
        new = runs.NewRun(playbook="shift", forks=5, timeout_s=60.0, author="amina")
        runs.create(db, new, of, now=province.clock.at)

    with reading(province.engine) as db:
        wish = province.wish(selector=Selector(devices=tuple(map(device_id, second))))
        assert proposing.preview(db, province.home, wish, AMINA, now=province.clock.at).why == ("many_lately",)
        assert proposing.preview(db, province.home, wish, BRAHIM, now=province.clock.at).why == ()


def test_a_draft_is_changed_and_its_secrets_stay(province: Province):
    province.annex("berkane-1", 2)
    id_ = province.draft(secrets={"shift_key": "a-long-secret"})
    wish = province.wish(name="Other", selector=Selector(devices=(device_id(1),)))

    with writing(province.engine) as db:
        found = proposing.edit(db, province.home, id_, wish, AMINA, version=1, now=province.clock.at)

    assert (found.name, found.secret_names, found.version, len(province.states(id_))) == ("Other", ("shift_key",), 2, 1)
    assert keeping.secrets(province.home, id_) == {"shift_key": "a-long-secret"}
    with pytest.raises(RolloutChanged), writing(province.engine) as db:
        proposing.edit(db, province.home, id_, wish, AMINA, version=1, now=province.clock.at)


def test_those_that_failed_are_tried_again(province: Province):
    province.annex("berkane-1", 6)
    id_ = province.started(policy=structs.replace(QUICK, canary_count=4))
    with pytest.raises(NothingToRetry), writing(province.engine) as db:
        proposing.retry_failed(db, province.home, id_, BRAHIM, now=province.clock.at)
    province.roll(id_, outcome="failed")
    failed = sorted(n for n, state in province.states(id_).items() if state == "failed")

    with writing(province.engine) as db:
        again = proposing.retry_failed(db, province.home, id_, BRAHIM, now=province.clock.at)

    found = province.detail(again)
    assert (found.relation, found.of_rollout, found.state, sorted(province.states(again))) == (
        "retry", id_, "draft", failed
    )  # fmt: skip


def test_the_way_back_leads_each_device_to_where_it_came_from(province: Province):
    province.annex("berkane-1", 2)
    province.annex("berkane-2", 2, version="1.5")
    id_ = province.started()
    assert province.roll(id_).state == "done"

    with writing(province.engine) as db:
        back = proposing.roll_back(db, province.home, id_, AMINA, now=province.clock.at)

    assert back.lost == ()
    made = {province.detail(one).variables["shift_version"]: sorted(province.states(one)) for one in back.drafts}
    assert made == {"1.0": [1, 2], "1.5": [3, 4]}
    assert {province.detail(one).relation for one in back.drafts} == {"rollback"}


def test_no_way_back_where_the_playbook_names_none(province: Province):
    province.annex("berkane-1", 2)
    province.playbook("plain", NATURE.split("reverse")[0].replace("shift", "plain"))
    id_ = province.started(playbook="plain", variables={"plain_version": "2.0"})
    with pytest.raises(NoWayBack), writing(province.engine) as db:
        proposing.roll_back(db, province.home, id_, AMINA, now=province.clock.at)


def test_a_clone_and_its_dry_run(province: Province):
    numbers = province.annex("berkane-1", 3)
    id_ = province.started()
    province.act(proposing.abort, id_, reason="Later")
    with writing(province.engine) as db:
        cloned = proposing.clone(db, province.home, id_, BRAHIM, now=province.clock.at)
    with writing(province.engine) as db:
        run_id = proposing.dry_run(db, province.home, cloned, BRAHIM, version=1, now=province.clock.at)
    with reading(province.engine) as db:
        run = runs.find(db, WHOLE, run_id)
    found = province.detail(cloned)
    assert (run.check, run.hosts.all, found.dry_run_id, found.version) == (True, len(numbers), run_id, 2)


def test_what_is_kept_is_forgotten_in_the_end(province: Province):
    province.annex("berkane-1", 2)
    id_ = province.started()
    assert province.roll(id_).state == "done"
    with writing(province.engine) as db:
        child = proposing.clone(db, province.home, id_, AMINA, now=province.clock.at)
    later = province.clock.at + timedelta(days=1)

    with writing(province.engine) as db:
        runs.prune(db, before=later, at_most=10)
    assert {row.run_id for row in province.targets(id_).values()} == {None}
    with writing(province.engine) as db:
        assert rollouts.prune(db, before=later, at_most=10) == [id_]
    assert province.detail(child).of_rollout is None


def test_devices_that_take_no_commands_are_left_out(province: Province):
    from sqlalchemy import update

    from annexfleet_controller.store.tables.devices import Device

    numbers = province.annex("berkane-1", 3)
    with writing(province.engine) as db:
        db.execute(update(Device).where(Device.number == numbers[0]).values(exchange_key=None))
        assert db.get(DeviceState, numbers[0]) is not None
    id_ = province.started()
    row = province.targets(id_)[numbers[0]]
    assert (row.wave, row.state, row.reason) == (0, "skipped", "takes_no_commands")


@pytest.mark.parametrize("how", ["name", "variables", "selector"])
def test_a_dry_run_stands_only_for_what_it_was_made_of(province: Province, how: str):
    numbers = province.annex("berkane-1", 3)
    id_ = province.draft()
    with writing(province.engine) as db:
        run_id = proposing.dry_run(db, province.home, id_, AMINA, version=1, now=province.clock.at)
    new = {
        "name": {"name": "Another name"},
        "variables": {"variables": {"shift_version": "2.5"}},
        "selector": {"selector": Selector(devices=(device_id(numbers[0]),))},
    }[how]
    with writing(province.engine) as db:
        proposing.edit(db, province.home, id_, province.wish(**new), AMINA, version=2, now=province.clock.at)
    assert province.detail(id_).dry_run_id == (run_id if how == "name" else None)


def test_a_dry_run_of_another_library_does_not_survive_the_submission(province: Province):
    province.annex("berkane-1", 3)
    id_ = province.draft()
    with writing(province.engine) as db:
        run_id = proposing.dry_run(db, province.home, id_, AMINA, version=1, now=province.clock.at)
        digest = runs.find(db, WHOLE, run_id).bundle_digest
    assert steering.is_dry_run_of(province.home, province.detail(id_), digest)
    (province.library / "shift.yml").write_text((province.library / "shift.yml").read_text() + "# changed\n")
    assert not steering.is_dry_run_of(province.home, province.detail(id_), digest)
    province.act(proposing.submit, id_, home=True)
    assert province.detail(id_).dry_run_id is None


def test_what_came_from_the_console_is_not_approved_there(province: Province):
    province.annex("berkane-1", 30)
    id_ = province.draft(Asker(name="amina", via="console"))
    province.act(proposing.submit, id_, home=True)
    with pytest.raises(ApprovedAtConsole):
        province.act(proposing.approve, id_, asker=Asker(name="brahim", via="console"), home=True)
    assert province.act(proposing.approve, id_, asker=BRAHIM, home=True).approved_by == "brahim"


def test_a_policy_that_was_kept_with_a_field_that_is_no_more_is_still_read(province: Province):
    province.annex("berkane-1", 3)
    id_ = province.draft()
    with writing(province.engine) as db:
        row = db.get_one(RolloutRow, id_)
        row.policy = msgspec.json.encode(msgspec.json.decode(row.policy) | {"attempts": 2}).decode()
    assert province.detail(id_).policy == QUICK
