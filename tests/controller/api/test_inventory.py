"""/api/v1/inventory, and the inventory plugin on a real listener."""

import importlib.util
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from ansible.errors import AnsibleParserError
from tests.controller.fleet import add_annex, add_devices
from tests.controller.site import Site

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Inventory
from annexfleet_controller.access import users
from annexfleet_controller.readiness.model import AnnexReadiness, ServiceReadiness
from annexfleet_controller.store import audit, readiness, states
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE

_ROOT = Path(__file__).resolve().parents[3]
HOSTILE = "{{ lookup('pipe', 'touch PWNED') }}"


@pytest.fixture
def fleet(site: Site) -> list[str]:
    add_annex(site.engine)
    add_annex(site.engine, "berkane-2")
    ids = add_devices(site.engine, 2) + add_devices(site.engine, 1, annex_id="berkane-2", first=3)
    told = Inventory(seq=1, at=1.0, digest="x", os={"id": "debian", "version": HOSTILE}, packages={"cups": HOSTILE})
    with writing(site.engine) as db:
        states.begin(db, [1])
        states.write_inventories(db, [(1, 1, 1.0, "x", wire.encode(told))])
    return ids


def test_it_holds_what_is_in_sight(site: Site, fleet: list[str]) -> None:
    whole = site.signed_in("technician").get("/api/v1/inventory").json()
    assert sorted(whole["hosts"]) == sorted(fleet)
    assert whole["groups"]["annex_berkane_2"] == fleet[2:]
    confined = site.signed_in("technician", annex="berkane-2").get("/api/v1/inventory").json()
    assert list(confined["hosts"]) == fleet[2:]
    assert "annex_berkane_1" not in confined["groups"]


def test_it_comes_by_the_page(site: Site, fleet: list[str]) -> None:
    client, cursor, pages = site.signed_in("technician"), "", []
    while cursor is not None:
        pages.append(client.get(f"/api/v1/inventory?limit=2&cursor={cursor}").json())
        cursor = pages[-1]["next"]

    assert [list(page["hosts"]) for page in pages] == [fleet[:2], fleet[2:]]
    assert pages[0]["groups"]["annex_berkane_1"] == fleet[:2]
    assert "annex_berkane_1" not in pages[1]["groups"]
    assert client.get("/api/v1/inventory?cursor=x").status_code == 422


def test_a_host_is_in_the_group_of_its_annex_s_readiness(site: Site, fleet: list[str]) -> None:
    stands = AnnexReadiness("berkane-2", (ServiceReadiness("birth", "blocked"),))
    with writing(site.engine) as db:
        readiness.write_now(db, {"berkane-2": stands}, now=site.clock.now())

    groups = site.signed_in("technician").get("/api/v1/inventory").json()["groups"]

    assert groups["readiness_unknown"] == fleet[:2]
    assert groups["readiness_blocked"] == fleet[2:]


def test_tags_make_groups_and_are_replaced_whole(site: Site, fleet: list[str]) -> None:
    operator = site.signed_in("operator")
    for tags in (["ring-0", "new"], ["ring-1"]):
        assert operator.put(f"/api/v1/devices/{fleet[0]}/tags", json={"tags": tags}).json()["tags"] == sorted(tags)
    groups = operator.get("/api/v1/inventory").json()["groups"]
    assert groups["tag_ring_1"] == [fleet[0]]
    assert "tag_ring_0" not in groups
    assert operator.put(f"/api/v1/devices/{fleet[0]}/tags", json={"tags": ["a b"]}).status_code == 422


def test_a_device_is_reached_over_ssh_where_somebody_says_so(site: Site, fleet: list[str]) -> None:
    operator, path = site.signed_in("operator"), f"/api/v1/devices/{fleet[0]}/connection"
    assert operator.put(path, json={"connection": "ssh"}).json()["field"] == "ssh_address"
    for option in ("-oProxyCommand=x", "-A", "[-A]", "[-A]:22", "-A:22", "[]", ":22", "[", "."):
        assert operator.put(path, json={"connection": "ssh", "ssh_address": option}).status_code == 422, option
    assert operator.put(path, json={"connection": "ssh", "ssh_address": "10.0.0.9"}).status_code == 200
    with reading(site.engine) as db:
        [entry] = audit.entries(db, WHOLE, act="device.connection")
    assert (entry.subject, entry.annex_id) == (f"device:{fleet[0]}", "berkane-1")
    assert entry.facts == {"connection": "ssh", "ssh_address": "10.0.0.9"}
    hosts = operator.get("/api/v1/inventory").json()["hosts"]
    assert hosts[fleet[0]]["ansible_host"] == "10.0.0.9"
    assert operator.put(path, json={"connection": "mqtt"}).json()["ssh_address"] == ""


@contextmanager
def _listening(site: Site) -> Iterator[str]:
    """The site on a port of loopback, for programs."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(site.app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _ansible_inventory(
    site: Site, tmp_path: Path, *arguments: str, token: str | None = None
) -> subprocess.CompletedProcess[str]:
    site.signed_in("technician", name="tech")
    key = users.create_key(site.engine, "tech", "ansible", now=site.clock.now()) if token is None else token
    program = shutil.which("ansible-inventory", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert program is not None
    with _listening(site) as address:
        return subprocess.run(
            [program, "-i", str(_ROOT / "playbooks/fleet.annexfleet.yml"), *arguments],
            env={
                **os.environ, "ANNEXFLEET_URL": address, "ANNEXFLEET_TOKEN": key, "ANSIBLE_HOME": str(tmp_path),
                "ANSIBLE_INVENTORY_PLUGINS": str(_ROOT / "playbooks/plugins/inventory"),
                "ANSIBLE_INVENTORY_ENABLED": "annexfleet",
            },
            capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
        )  # fmt: skip


def test_ansible_sees_the_fleet_through_a_token(site: Site, fleet: list[str], tmp_path: Path) -> None:
    graph = _ansible_inventory(site, tmp_path, "--graph")
    assert graph.returncode == 0, graph.stderr
    assert "@annex_berkane_1:" in graph.stdout
    assert f"|--{fleet[2]}" in graph.stdout


def test_what_devices_told_is_never_a_template(site: Site, fleet: list[str], tmp_path: Path) -> None:
    found = _ansible_inventory(site, tmp_path, "--host", fleet[0])
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["annexfleet_os_version"] == HOSTILE
    assert not list(tmp_path.rglob("PWNED"))


def test_a_wrong_token_says_how_to_get_a_right_one(site: Site, fleet: list[str], tmp_path: Path) -> None:
    found = _ansible_inventory(site, tmp_path, "--graph", token="nothing")
    assert "annexfleet user key" in found.stderr


def test_ansible_gets_every_page(site: Site, fleet: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    plugin, client = _plugin(), site.signed_in("technician")
    monkeypatch.setattr(plugin, "_AT_ONCE", 1)
    monkeypatch.setattr(plugin, "open_url", lambda address, **_: io.BytesIO(client.get(address).content))
    asking = plugin.InventoryModule()
    monkeypatch.setattr(asking, "get_option", {"url": "", "token": "t", "timeout_s": 1}.get)

    whole = asking._ask()

    assert list(whole["hosts"]) == fleet
    assert whole["groups"]["annex_berkane_1"] == fleet[:2]
    assert whole["groups"]["role_counter"] == fleet


@pytest.mark.parametrize("version", ["2.18.9", "2.9.27"])
def test_an_ansible_that_would_execute_what_devices_say_gets_nothing(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = _plugin()
    monkeypatch.setattr(plugin, "__version__", version)

    with pytest.raises(AnsibleParserError, match="templates"):
        plugin.InventoryModule().parse(None, None, "fleet.annexfleet.yml")


def _plugin() -> Any:
    spec = importlib.util.spec_from_file_location("plugin", _ROOT / "playbooks/plugins/inventory/annexfleet.py")
    assert spec is not None
    assert spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    return plugin
