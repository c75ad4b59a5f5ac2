import pytest
from sqlalchemy import select
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places, ran

from annexfleet_controller.rollouts import commanding
from annexfleet_controller.store import audit
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.commands import CommandRow
from annexfleet_controller.store.tables.talk import Pulse

ONE, TWO = device_id(1), device_id(2)


@pytest.fixture
def place(site: Site) -> Site:
    with writing(site.engine) as db:
        for number in (1, 2):
            places.annex(db, number, site.clock.now())
            places.device(db, number, f"berkane-{number}", now=site.clock.now(), connected=number == 1)
            ran.takes_commands(db, number)
    return site


def send(client, device: str = ONE, *, key: str = "", **of: object):
    body = {"name": "restart_service", "parameters": {"unit": "cups.service"}} | of
    return client.post(f"/api/v1/devices/{device}/commands", json=body, headers={"Idempotency-Key": key} if key else {})


def test_a_command_waits_for_the_relay_and_leaves_a_trace(place: Site):
    client = place.signed_in("technician", name="amina")

    made = send(client)

    assert made.status_code == 201
    told = made.json()
    assert (told["state"], told["outcome"], told["device"], told["author"]) == ("waiting", "", ONE, "amina")
    assert told["parameters"] == {"unit": "cups.service"}
    assert told["device_online"] is True
    assert client.get(f"/api/v1/commands/{told['id']}").json() == told
    with reading(place.engine) as db:
        [entry] = audit.entries(db, WHOLE)
        assert (entry.act, entry.subject, entry.annex_id) == ("command.send", f"device:{ONE}", "berkane-1")
        assert entry.facts == {"command": "restart_service", "id": told["id"], "unit": "cups.service"}
        assert [row.devices for row in db.scalars(select(Pulse))] == ['{"1":"k"}']


def test_defaults_are_filled_in(place: Site):
    assert send(place.signed_in("technician"), name="reboot", parameters={}).json()["parameters"] == {"delay_s": 60}


def test_it_waits_ten_minutes_for_a_device_that_is_away(place: Site):
    told = send(place.signed_in("technician"), TWO).json()

    assert told["device_online"] is False
    with reading(place.engine) as db:
        row = db.get(CommandRow, told["id"])
        assert row is not None
        assert (row.give_up_at - row.created_at).total_seconds() == 600


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({"name": "shell", "parameters": {}}, "command", "unknown_command"),
        ({"parameters": {}}, "unit", "missing"),
        ({"parameters": {"unit": "cups.service; reboot"}}, "unit", "wrong_form"),
        ({"parameters": {"unit": "-h"}}, "unit", "wrong_form"),
        ({"parameters": {"unit": 7}}, "unit", "wrong_type"),
        ({"parameters": {"unit": "cups.service", "force": True}}, "force", "unknown"),
        ({"name": "reboot", "parameters": {"delay_s": 1e9}}, "delay_s", "out_of_range"),
        ({"name": "reboot", "parameters": {"delay_s": "soon"}}, "delay_s", "wrong_type"),
    ],
)
def test_what_is_not_in_the_catalogue_is_refused(place: Site, body: dict[str, object], field: str, reason: str):
    answer = send(place.signed_in("technician"), **body)

    assert answer.status_code == 422
    told = answer.json()
    assert (told["code"], told["field"], told["reason"]) == ("command_wrong", field, reason)
    with reading(place.engine) as db:
        assert audit.count(db) == 0


def test_a_device_that_told_no_key_takes_none(place: Site):
    with writing(place.engine) as db:
        places.device(db, 3, "berkane-1", now=place.clock.now())

    answer = send(place.signed_in("technician"), device_id(3))

    assert (answer.status_code, answer.json()["code"]) == (409, "takes_no_commands")


def test_a_device_out_of_service_takes_none(place: Site):
    with writing(place.engine) as db:
        places.device(db, 3, "berkane-1", now=place.clock.now()).revoked_at = place.clock.now()
        ran.takes_commands(db, 3)

    assert send(place.signed_in("technician"), device_id(3)).json()["code"] == "takes_no_commands"


def test_only_so_many_may_wait(place: Site):
    client = place.signed_in("technician")
    for _ in range(commanding.WAITING_AT_MOST):
        assert send(client).status_code == 201

    refused = send(client)

    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_commands")
    assert send(client, TWO).status_code == 201


def test_the_same_request_sends_once(place: Site):
    client = place.signed_in("technician")

    first, again = send(client, key="k1"), send(client, key="k1")

    assert first.json() == again.json()
    assert send(client, key="k1", name="diagnostics", parameters={}).status_code == 409
    assert len(client.get(f"/api/v1/devices/{ONE}/commands").json()["items"]) == 1


def test_the_commands_of_a_device_come_in_pages_the_newest_first(place: Site):
    client = place.signed_in("technician")
    ids = []
    for _ in range(5):
        place.clock.turn(seconds=1)
        ids.append(send(client).json()["id"])

    first = client.get(f"/api/v1/devices/{ONE}/commands?limit=3").json()
    rest = client.get(f"/api/v1/devices/{ONE}/commands", params={"limit": 3, "cursor": first["next"]}).json()

    assert [one["id"] for one in (*first["items"], *rest["items"])] == ids[::-1]
    assert rest["next"] is None
    assert client.get(f"/api/v1/devices/{ONE}/commands?cursor=WyJhIiwiYiJd").status_code == 422


def test_other_annexes_commands_are_out_of_reach(place: Site):
    made = send(place.signed_in("technician"), TWO).json()["id"]
    client = place.signed_in("technician", annex="berkane-1")

    assert send(client, TWO).status_code == 404
    assert client.get(f"/api/v1/devices/{TWO}/commands").status_code == 404
    assert client.get(f"/api/v1/commands/{made}").status_code == 404
    assert client.get(f"/api/v1/commands/{made}/attachment").status_code == 404


def attach(site: Site, name: str) -> str:
    with writing(site.engine) as db:
        made = ran.command(db, 1, "diagnostics", now=site.clock.now(), outcome="done")
        row = db.get(CommandRow, made)
        assert row is not None
        row.attachment = name
    return made


def test_a_diagnostic_file_is_downloaded_and_never_opened_by_the_browser(place: Site):
    made = attach(place, "c-1.tar.gz")
    (place.home.path / "diagnostics").mkdir()
    (place.home.path / "diagnostics/c-1.tar.gz").write_bytes(b"<script>")

    answer = place.signed_in("technician").get(f"/api/v1/commands/{made}/attachment")

    assert (answer.status_code, answer.content) == (200, b"<script>")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == 'attachment; filename="c-1.tar.gz"'


@pytest.mark.parametrize("name", ["", "../controller.db", "gone.tar.gz", ".hidden", "a/b", "link"])
def test_a_file_that_is_not_there_or_elsewhere_is_not_given(place: Site, name: str):
    made = attach(place, name)
    (place.home.path / "diagnostics").mkdir()
    (place.home.path / "controller.db").write_bytes(b"secret")
    (place.home.path / "diagnostics/link").symlink_to(place.home.path / "controller.db")

    answer = place.signed_in("technician").get(f"/api/v1/commands/{made}/attachment")

    assert (answer.status_code, answer.json()["code"]) == (404, "attachment_unknown")
