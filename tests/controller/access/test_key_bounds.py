"""Keys of programs over every route: a key that only reads changes nothing, a bounded one is who its bounds say."""

import pytest
from fastapi.testclient import TestClient
from tests.controller.access.routes.accounts import BY_SESSION_ONLY, OF_ITSELF_ALONE
from tests.controller.access.test_every_route import STREAM, TABLES, ask, expected, place
from tests.controller.fleet import add_annex
from tests.controller.site import PASSWORD, QUICK_HASH, Site

from annexfleet_controller.access import keys, sessions, users
from annexfleet_controller.access.door import SAFE_METHODS
from annexfleet_controller.access.errors import AccountWrong
from annexfleet_controller.access.users import By
from annexfleet_controller.app import policies
from annexfleet_controller.store import audit, people, program_keys
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE

__all__ = ["place"]


def someone(site: Site, role: str = "admin", *, annexes: tuple[str, ...] = (), name: str = "") -> str:
    """A person who has chosen a password."""
    name = name or f"{role}-of-keys"
    with writing(site.engine) as db:
        user = people.create(
            db, name=name, password_hash=QUICK_HASH, role=role, annex_ids=annexes, now=site.clock.now()
        )
        people.set_password(db, user.id, QUICK_HASH, must_change=False)
    return name


def program(site: Site, name: str, *, days: int | None = 365, **bounds: object) -> TestClient:
    """Something that comes in with a key of this person's."""
    key = users.create_key(
        site.engine, name, "a program", now=site.clock.now(), days=days,
        bounds=keys.Bounds(**bounds),  # type: ignore[arg-type]
    )  # fmt: skip
    client = site.visitor()
    client.headers["Authorization"] = f"Bearer {key}"
    return client


def test_a_key_that_only_reads_is_refused_whatever_changes_anything(place: Site):
    client = program(place, someone(place), reads_only=True)
    unsafe = [route for route in policies(place.app) if route[0] not in SAFE_METHODS]

    assert len(unsafe) > 50
    assert {route: ask(place, client, route) for route in unsafe} == dict.fromkeys(unsafe, 403)
    assert client.post("/api/v1/annexes", json={}).json()["code"] == "key_reads_only"
    assert client.get("/api/v1/annexes").status_code == 200


@pytest.mark.parametrize("role", ["staff", "operator"])
def test_a_bounded_key_is_who_its_bounds_say(place: Site, role: str):
    client = program(place, someone(place), role=role, annexes=("berkane-1",))

    reached = {route: ask(place, client, route) for route in TABLES.LOWEST if route != STREAM}

    refused = BY_SESSION_ONLY.keys() | OF_ITSELF_ALONE
    unexpected = {
        route: status
        for route, status in reached.items()
        if status not in ({403} if route in refused else expected(route, role, "berkane-1"))
    }
    assert unexpected == {}


def test_what_is_for_people_in_a_browser_is_refused_to_the_key_of_an_administrator(place: Site):
    client = program(place, someone(place))

    reached = {route: ask(place, client, route) for route in BY_SESSION_ONLY}

    assert reached == dict.fromkeys(BY_SESSION_ONLY, 403)


def test_a_key_makes_people_but_no_administrator_at_once_or_in_two_steps(site: Site):
    add_annex(site.engine, "berkane-1")
    client = program(site, someone(site))
    new = {"name": "amina", "role": "operator", "annexes": None}

    refused = [
        client.post("/api/v1/users", json=new | {"role": "admin"}),
        client.post("/api/v1/users", json=new | {"role": "admin", "annexes": ["berkane-1"]}),
    ]
    assert client.post("/api/v1/users", json=new).status_code == 201
    refused.append(client.patch("/api/v1/users/amina", json={"role": "admin", "version": 1}))
    someone(site, annexes=("berkane-1",), name="confined")
    refused.append(client.patch("/api/v1/users/confined", json={"annexes": None, "version": 1}))
    form = {"name": "brahim", "role": "admin", "reach": "province"}
    assert client.post("/admin/people", data=form).status_code == 403

    assert [(one.status_code, one.json()["code"]) for one in refused] == [(403, "by_session_only")] * 4
    assert client.patch("/api/v1/users/confined", json={"full_name": "C", "version": 1}).status_code == 200


def test_an_annex_that_its_person_loses_is_lost_to_the_key_and_what_is_left_of_none_is_nothing(place: Site):
    client = program(place, someone(place, "operator", annexes=("berkane-1", "berkane-2")), annexes=("berkane-1",))
    assert [one["id"] for one in client.get("/api/v1/annexes").json()["items"]] == ["berkane-1"]

    with writing(place.engine) as db:
        user = people.get(db, "operator-of-keys")
        wish = users.Profile(role="operator", annexes=("berkane-2",))
        users.edit(db, user, wish, version=user.version, now=place.clock.now(), by=By("root"))

    assert client.get("/api/v1/annexes").status_code == 401
    assert client.get("/api/v1/annexes/berkane-2").status_code == 401


def test_a_role_that_its_person_loses_is_lost_to_the_key(site: Site):
    client = program(site, someone(site, "operator"), role="operator")
    assert client.get("/api/v1/tokens").status_code == 200

    with writing(site.engine) as db:
        user = people.get(db, "operator-of-keys")
        wish = users.Profile(role="staff")
        users.edit(db, user, wish, version=user.version, now=site.clock.now(), by=By("root"))

    assert client.get("/api/v1/tokens").status_code == 403
    assert client.get("/api/v1/annexes").status_code == 200


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        ({"role": "operator"}, "role_above_own"),
        ({"role": "root"}, "role_above_own"),
        ({"annexes": ("berkane-2",)}, "annex_not_own"),
        ({"annexes": ("berkane-1", "nowhere")}, "annex_not_own"),
    ],
)
def test_a_key_never_reaches_beyond_its_person(site: Site, bounds: dict[str, object], reason: str):
    add_annex(site.engine, "berkane-1")
    add_annex(site.engine, "berkane-2")
    someone(site, "technician", annexes=("berkane-1",))

    with pytest.raises(AccountWrong) as wrong:
        program(site, "technician-of-keys", **bounds)

    assert wrong.value.facts["reason"] == reason


def test_a_key_is_made_in_a_browser_shown_once_and_makes_no_others(site: Site):
    client = site.signed_in("operator")

    wish = {"name": "Grafana", "role": "staff", "reads_only": True, "days": 30, "password": PASSWORD}
    made = client.post("/api/v1/keys", json=wish)

    assert made.status_code == 201
    key = made.json()["key"]
    bearer = {"Authorization": f"Bearer {key}"}
    assert site.visitor().get("/api/v1/annexes", headers=bearer).status_code == 200
    (listed,) = client.get("/api/v1/keys").json()["items"]
    assert listed["role"] == "staff"
    assert listed["used_at"] is not None
    assert key not in client.get("/api/v1/keys").text + client.get("/account").text
    with reading(site.engine) as db:
        entries = audit.entries(db, WHOLE, limit=9)
        assert [entry.act for entry in entries] == ["key.create"]
        assert key not in str(entries)
        assert program_keys.listing(db)[0][0].digest not in client.get("/account").text
    another = program(site, someone(site, "operator"))
    refused = another.post("/api/v1/keys", json={"name": "offspring", "password": PASSWORD})
    assert (refused.status_code, refused.json()["code"]) == (403, "by_session_only")


def test_a_session_that_somebody_left_open_makes_no_key_without_the_password(site: Site):
    client = site.signed_in("staff")
    form = {"name": "The wall", "role": "staff", "days": "9", "reach": "province"}

    missing = client.post("/account/keys", data=form)
    wrong = client.post("/account/keys", data=form | {"password": "guessed"})
    assert (missing.status_code, wrong.status_code) == (422, 422)
    assert "The present password is not right" in wrong.text
    assert 'value="The wall"' in wrong.text
    assert client.post("/api/v1/keys", json={"name": "x"}).status_code == 422
    assert client.post("/api/v1/keys", json={"name": "x", "password": "guessed"}).json()["code"] == "sign_in_refused"

    assert client.get("/api/v1/keys").json()["items"] == []
    assert client.post("/account/keys", data=form | {"password": PASSWORD}).status_code == 201


def test_a_repeated_wish_for_a_key_makes_one(site: Site):
    client = site.signed_in("operator")
    wish = {"json": {"name": "Grafana", "password": PASSWORD}, "headers": {"Idempotency-Key": "once"}}

    first, second = client.post("/api/v1/keys", **wish), client.post("/api/v1/keys", **wish)

    assert first.json() == second.json()
    assert len(client.get("/api/v1/keys").json()["items"]) == 1


def test_keys_are_revoked_by_their_owner_or_by_who_manages_people(site: Site):
    owner, colleague, admin = site.signed_in("operator"), site.signed_in("operator", name="other"), site.signed_in()
    key = owner.post("/api/v1/keys", json={"name": "Grafana", "password": PASSWORD}).json()
    bearer = {"Authorization": f"Bearer {key['key']}"}

    assert colleague.delete(f"/api/v1/keys/{key['id']}").status_code == 404
    assert colleague.get("/api/v1/keys?everybody=true").status_code == 403
    assert site.visitor().get("/api/v1/annexes", headers=bearer).status_code == 200
    assert "Grafana" in admin.get("/admin/keys").text
    assert admin.post(f"/admin/keys/{key['id']}/revoke").status_code == 303
    assert site.visitor().get("/api/v1/annexes", headers=bearer).status_code == 401


def test_a_key_revokes_itself_and_no_other_unless_it_manages_people(site: Site):
    owner = someone(site)
    bounded, other, managing = program(site, owner, role="operator"), program(site, owner), program(site, owner)
    own, others = (
        sessions.public_id(sessions.digest(one.headers["Authorization"].removeprefix("Bearer ")))
        for one in (bounded, other)
    )

    refused = bounded.delete(f"/api/v1/keys/{others}")
    assert (refused.status_code, refused.json()["code"]) == (403, "by_session_only")
    assert bounded.post(f"/account/keys/{others}/revoke").status_code == 403
    assert other.get("/api/v1/annexes").status_code == 200
    assert managing.delete(f"/api/v1/keys/{others}").status_code == 204
    assert other.get("/api/v1/annexes").status_code == 401
    assert bounded.delete(f"/api/v1/keys/{own}").status_code == 204
    assert bounded.get("/api/v1/annexes").status_code == 401


def test_nothing_ticked_is_not_everything(site: Site):
    add_annex(site.engine, "berkane-1")
    client = site.signed_in("operator")
    form = {"name": "x", "role": "staff", "days": "9", "password": PASSWORD}

    assert client.post("/account/keys", data=form | {"reach": "annexes"}).status_code == 422
    assert client.post("/api/v1/keys", json={"name": "x", "annexes": [], "password": PASSWORD}).status_code == 422
    made = client.post("/account/keys", data=form | {"reach": "annexes", "annexes": "berkane-1"})
    assert made.status_code == 201
    assert "afk1." in made.text


def test_the_key_of_a_stream_is_bounded_like_any_other(site: Site):
    add_annex(site.engine, "berkane-1")
    client = program(site, someone(site), role="staff", annexes=("berkane-1",))
    key = client.headers["Authorization"].removeprefix("Bearer ")
    person = sessions.by_key(site.engine, key, now=site.clock.now())
    assert person is not None

    alive = sessions.still_open(site.engine, [person], site.home.settings, now=site.clock.now())

    assert alive[person.digest] == person
    assert alive[person.digest].role == "staff"
