"""A small rollout on real devices: waves of real runs, one device off and coming back, and what is told in the end."""

import secrets

import pytest
from tests.flow.enrolling import ANNEX
from tests.playbooks.devices.fleet import Fleet
from tests.playbooks.linking import ids
from tests.playbooks.walking import PLACE, TEXT, Walks

from annexfleet_controller.calendars.document import CalendarDocument
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.rollouts import proposing
from annexfleet_controller.rollouts.proposing import Asker, Wish
from annexfleet_controller.store import calendars, rollout_targets, rollouts, run_hosts
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.rollout_targets import TargetRow
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.waves.model import Policy, Selector

pytestmark = pytest.mark.trial

POLICY = Policy(canary_count=1, growth=10.0, soak_s=5.0, canary_soak_s=5.0, verify_within_s=300.0)
WITHIN_S = 420.0


@pytest.fixture(scope="module")
def walks(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Walks:
    return Walks(fleet, tmp_path_factory.mktemp("rollout"), count=3)


def targets(walks: Walks, rollout_id: int) -> dict[str, TargetRow]:
    with reading(walks.controller.engine) as db:
        return {row.device_id: row for row in rollout_targets.listing(db, WHOLE, rollout_id)}


def state(walks: Walks, rollout_id: int) -> str:
    with reading(walks.controller.engine) as db:
        return rollouts.find(db, WHOLE, rollout_id).state


def start(walks: Walks, word: str, token: str) -> int:
    """Drafted, submitted, approved by a second person and started, in an annex that is never open."""
    home, now = walks.controller.home, SYSTEM.now()
    author, second = Asker(name="technician", via="session"), Asker(name="operator", via="session")
    wish = Wish(
        name="A walk", playbook="walk", selector=Selector(devices=tuple(walks.ids)), policy=POLICY, reason="A trial",
        variables={"walk_text": TEXT, "walk_place": PLACE, "walk_token": token}, secrets={"walk_word": word},
    )  # fmt: skip
    with writing(walks.controller.engine) as db:
        calendars.put(db, ANNEX, CalendarDocument(week=((),) * 7, ramadan=((),) * 7), version=0, by="operator", now=now)
        id_ = proposing.draft(db, home, wish, author, now=now)
        found = proposing.submit(db, home, id_, author, version=1, now=now)
        found = proposing.approve(db, home, id_, second, version=found.version, now=now)
        proposing.start(db, home, id_, author, version=found.version, now=now)
    return id_


def test_a_rollout_comes_to_each_device_once_also_to_one_that_was_off(walks: Walks):
    walks.let_go()
    word, token = secrets.token_hex(8), secrets.token_hex(8)
    away = walks.devices[2]
    assert away.agent is not None
    away.agent.stop()
    walks.controller.wait_until(
        lambda: walks.controller.ask(f"devices/{walks.ids[2]}")["presence"] != "online", "the goodbye of a device"
    )

    id_ = start(walks, word, token)
    walks.controller.wait_until(
        lambda: sorted(row.state for row in targets(walks, id_).values()) == ["deferred", "succeeded", "succeeded"],
        "the two that are there", WITHIN_S,
    )  # fmt: skip
    assert walks.trace(away, "begun", token) == 0
    away.agent.start()
    walks.controller.wait_until(lambda: state(walks, id_) == "done", "the end of the rollout", WITHIN_S)

    found = targets(walks, id_)
    assert {row.state for row in found.values()} == {"succeeded"}
    assert {row.attempts for row in found.values()} == {1}
    for device in walks.devices:
        assert device.read(f"{PLACE}/file") == f"{TEXT} {word}\n"
        assert walks.trace(device, "begun", token) == walks.trace(device, "ended", token) == 1
    with reading(walks.controller.engine) as db:
        done = [
            host.device_id
            for run_id in {row.run_id for row in found.values() if row.run_id}
            for host in run_hosts.hosts(db, WHOLE, run_id)
        ]
    assert sorted(done) == sorted(ids(walks.devices))
    assert not (walks.controller.home.path / "rollouts" / str(id_)).exists()
