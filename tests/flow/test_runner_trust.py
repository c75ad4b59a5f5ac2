"""How a runner learns its controller's keys, and the controller its: the real listener, the real commands."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from tests.flow.broker import broker_home
from tests.flow.enrolling import agent, enrolment_served, new_annex, new_token

from annexfleet_agent import identity
from annexfleet_agent.runner import keys
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.identity import authority, signing
from annexfleet_controller.settings import Home
from annexfleet_controller.store.database import reading
from annexfleet_controller.store.tables.devices import Device


@pytest.fixture
def home() -> Iterator[Home]:
    with broker_home() as made:
        authority.ensure(made)
        yield made


@pytest.fixture
def listener(home: Home, sqlite_engine: Engine) -> Iterator[Engine]:
    """The listener is served; its database."""
    new_annex(sqlite_engine)
    with enrolment_served(home, sqlite_engine):
        yield sqlite_engine


def kept(engine: Engine) -> bytes | None:
    with reading(engine) as db:
        return db.scalars(select(Device.exchange_key)).one()


def known(state_dir: Path) -> identity.Identity:
    found = identity.load(state_dir / "identity")
    assert found is not None
    return found


def test_enrolment_makes_a_runner_ready_and_a_renewal_brings_the_next_keys(
    home: Home, listener: Engine, tmp_path: Path
):
    first = signing.ensure(home)

    assert agent("enrol", new_token(listener, home), state_dir=tmp_path).returncode == 0

    place = tmp_path / "runner"
    public = keys.load(place).public_key().public_bytes_raw()
    trust = keys.trust(place)
    assert (trust.device_id, trust.keys) == (known(tmp_path).device_id, first.keys)
    assert kept(listener) == public == bytes.fromhex(known(tmp_path).exchange_key)
    assert not identity.owes_exchange_key(known(tmp_path), place, is_own=True)

    rotated = signing.rotate(home, SYSTEM.now())
    assert agent("renew", state_dir=tmp_path).returncode == 0
    assert keys.trust(place).keys == rotated.keys
    assert kept(listener) == public


def test_a_controller_without_keys_is_told_again_when_it_has_some(home: Home, listener: Engine, tmp_path: Path):
    assert agent("enrol", new_token(listener, home), state_dir=tmp_path).returncode == 0
    assert known(tmp_path).exchange_key == ""
    assert identity.owes_exchange_key(known(tmp_path), tmp_path / "runner", is_own=True)

    signing.ensure(home)
    assert agent("renew", state_dir=tmp_path).returncode == 0

    assert keys.trust(tmp_path / "runner").keys_version
    assert not identity.owes_exchange_key(known(tmp_path), tmp_path / "runner", is_own=True)


def test_a_runner_of_roots_is_told_whom_to_obey_by_root(home: Home, listener: Engine, tmp_path: Path):
    state, place = tmp_path / "state", tmp_path / "roots"
    of_root = f'[runner]\ndirectory = "{place}"\n'
    signing.ensure(home)
    early = agent("runner", "trust", state_dir=state, more=of_root)
    assert agent("enrol", new_token(listener, home), state_dir=state, more=of_root).returncode == 0
    assert (early.returncode, place.exists(), kept(listener)) == (3, False, None)
    assert not identity.owes_exchange_key(known(state), place, is_own=False)

    done = agent("runner", "trust", state_dir=state, more=of_root)

    assert done.returncode == 0, done.stderr
    assert "annexfleet-agent renew" in done.stdout
    pin = re.search(r"[0-9a-f]{64}", done.stdout)
    assert pin is not None
    assert pin[0] == authority.load(home).pin
    trust = keys.trust(place)
    assert (trust.device_id, trust.keys) == (known(state).device_id, None)
    assert identity.owes_exchange_key(known(state), place, is_own=False)
    assert agent("renew", state_dir=state, more=of_root).returncode == 0
    assert kept(listener) == keys.load(place).public_key().public_bytes_raw()
    assert not identity.owes_exchange_key(known(state), place, is_own=False)
    assert keys.trust(place).keys is None  # the first envelope brings them
    assert "all is done" in agent("runner", "trust", state_dir=state, more=of_root).stdout


def test_a_device_that_takes_no_commands_tells_no_key(home: Home, listener: Engine, tmp_path: Path):
    signing.ensure(home)
    off = "[runner]\nenabled = false\n"

    assert agent("enrol", new_token(listener, home), state_dir=tmp_path, more=off).returncode == 0

    assert (kept(listener), (tmp_path / "runner").exists()) == (None, False)
    assert agent("runner", "trust", state_dir=tmp_path, more=off).returncode == 2


def test_for_a_runner_of_the_agents_own_there_is_nothing_to_trust(tmp_path: Path):
    done = agent("runner", "trust", state_dir=tmp_path)

    assert done.returncode == 2
    assert "enrolment has done this already" in done.stderr
