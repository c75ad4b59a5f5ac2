"""/admin/people and /api/v1/users: accounts, changed by administrators and by nobody else."""

import re

import pytest
from sqlalchemy import func, select
from tests.controller.access.routes import gathered
from tests.controller.access.test_every_route import ask
from tests.controller.fleet import add_annex
from tests.controller.site import PASSWORD, QUICK_HASH, Site

from annexfleet_controller.access import users
from annexfleet_controller.access.errors import LastAdmin
from annexfleet_controller.access.users import By, Profile
from annexfleet_controller.store import annexes, audit, people
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.people import ApiKey, User

ONE_TIME = re.compile(r"(?:[a-z2-9]{4}-){4}[a-z2-9]{4}")
FORM = {"name": "amina", "full_name": "Amina El Fassi", "role": "staff", "reach": "annexes", "annexes": "berkane-1"}


@pytest.fixture
def province(site: Site) -> Site:
    for annex in ("berkane-1", "berkane-2"):
        add_annex(site.engine, annex)
    return site


def user(site: Site, name: str) -> User:
    with reading(site.engine) as db:
        return people.get(db, name)


def entries(site: Site) -> list[tuple[str, str, dict[str, object]]]:
    with reading(site.engine) as db:
        return [(one.act, one.actor, dict(one.facts)) for one in audit.entries(db, WHOLE, limit=20)]


def test_nobody_makes_the_first_administrator_but_the_console(site: Site):
    tables = gathered()

    for route in sorted(tables.LOWEST.keys() | tables.OPEN):
        ask(site, site.visitor(), route)

    with reading(site.engine) as db:
        assert db.scalar(select(func.count()).select_from(User)) == 0


def test_a_new_person_gets_a_password_that_is_shown_once_on_a_sheet(province: Site):
    admin = province.signed_in()

    made = admin.post("/admin/people", data=FORM)

    assert made.status_code == 201
    password = ONE_TIME.search(made.text)
    assert password is not None
    amina = user(province, "amina")
    assert amina.must_change_password
    assert password[0] not in admin.get(f"/admin/people/{amina.id}").text
    client = province.visitor()
    signed = client.post("/sign-in", data={"name": "amina", "password": password[0]})
    assert signed.status_code == 303
    assert client.get("/").headers["location"] == "/password"
    assert ("user.create", "admin-province", {"role": "staff", "annexes": ["berkane-1"]}) in entries(province)


@pytest.mark.parametrize(
    ("wrong", "status", "said"),
    [
        ({"name": "x"}, 422, "2 to 80"),
        ({"name": "ab cd"}, 422, "2 to 80"),
        ({"role": "root"}, 422, "choose a role"),
        ({"email": "amina at home"}, 422, "no e-mail address"),
        ({"annexes": ""}, 422, "choose an annex"),
        ({"annexes": "nowhere"}, 422, "no such annex"),
        ({"full_name": "a" * 121}, 422, "at most 120"),
        ({"name": "admin-province"}, 409, "taken"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_made(province: Site, wrong: dict[str, str], status: int, said: str):
    made = province.signed_in().post("/admin/people", data=FORM | wrong)

    assert made.status_code == status
    assert said in made.text or status == 409
    assert "Amina" in made.text or "full_name" in wrong  # what was typed stays
    with reading(province.engine) as db:
        assert people.by_name(db, "amina") is None


def test_a_role_is_changed_when_what_it_means_was_shown(province: Site):
    admin = province.signed_in()
    amina = province.signed_in("staff", annex="berkane-1", name="amina")
    number = user(province, "amina").id
    form = {"role": "technician", "reach": "annexes", "annexes": "berkane-1 berkane-2", "version": "1"}

    shown = admin.post(f"/admin/people/{number}", data=form)

    assert shown.status_code == 200
    assert "until now" in shown.text
    assert user(province, "amina").role == "staff"
    assert admin.post(f"/admin/people/{number}", data=form | {"confirmed": "1"}).status_code == 303
    assert user(province, "amina").role == "technician"
    assert amina.get("/runs").status_code == 200
    assert entries(province)[0] == (
        "user.edit", "admin-province",
        {"role_before": "staff", "role": "technician", "annexes_before": ["berkane-1"],
         "annexes": ["berkane-1", "berkane-2"]},
    )  # fmt: skip


def test_a_name_is_saved_at_once_and_stays_out_of_the_record(province: Site):
    admin = province.signed_in()
    province.signed_in("staff", annex="berkane-1", name="amina")
    number = user(province, "amina").id
    form = {"role": "staff", "reach": "annexes", "annexes": "berkane-1", "version": "1", "email": "amina@example.ma"}

    assert admin.post(f"/admin/people/{number}", data=form).status_code == 303

    assert user(province, "amina").email == "amina@example.ma"
    assert entries(province)[0] == ("user.edit", "admin-province", {"fields": ["email"]})


def test_an_annex_that_was_closed_stays_with_who_has_it(province: Site):
    admin = province.signed_in()
    province.signed_in("staff", annex="berkane-1", name="amina")
    number = user(province, "amina").id
    with writing(province.engine) as db:
        annexes.get(db, WHOLE, "berkane-1").retired_at = province.clock.now()
        annexes.get(db, WHOLE, "berkane-2").retired_at = province.clock.now()

    shown = admin.get(f"/admin/people/{number}").text
    form = {"role": "staff", "reach": "annexes", "annexes": "berkane-1", "version": "1", "email": "amina@example.ma"}
    saved = admin.post(f"/admin/people/{number}", data=form)

    assert re.search(r'value="berkane-1" checked>.*Closed for good', shown)
    assert 'value="berkane-2"' not in shown
    assert saved.status_code == 303
    assert entries(province)[0] == ("user.edit", "admin-province", {"fields": ["email"]})
    assert "no such annex" in admin.post("/admin/people", data=FORM).text
    another = form | {"annexes": "berkane-2", "version": "2"}
    assert admin.post(f"/admin/people/{number}", data=another).status_code == 422


def test_of_two_who_change_at_once_the_second_is_told(province: Site):
    admin = province.signed_in()
    province.signed_in("staff", annex="berkane-1", name="amina")
    number = user(province, "amina").id
    form = {"role": "staff", "reach": "annexes", "annexes": "berkane-1", "version": "1"}
    admin.post(f"/admin/people/{number}", data=form | {"full_name": "First"})

    second = admin.post(f"/admin/people/{number}", data=form | {"full_name": "Second"})

    assert second.status_code == 409
    assert "Somebody else changed" in second.text
    assert 'value="First"' in second.text
    assert user(province, "amina").full_name == "First"


@pytest.mark.parametrize("change", [{"role": "operator"}, {"reach": "annexes", "annexes": "berkane-1"}])
def test_nobody_lowers_or_confines_themselves(province: Site, change: dict[str, str]):
    admin = province.signed_in()
    province.signed_in(name="another")
    number = user(province, "admin-province").id
    form = {"role": "admin", "reach": "province", "version": "1", "confirmed": "1"}

    assert admin.post(f"/admin/people/{number}", data=form | change).status_code == 409
    assert admin.post(f"/admin/people/{number}/disable").status_code == 409

    assert user(province, "admin-province").disabled_at is None
    assert admin.get("/admin/people").status_code == 200


def test_nobody_resets_themselves(province: Site):
    admin = province.signed_in()
    number = user(province, "admin-province").id

    for act in ("reset", "reset-factor", "enable"):
        assert admin.post(f"/admin/people/{number}/{act}").status_code == 409
        refused = admin.post(f"/api/v1/users/admin-province/{act}")
        assert (refused.status_code, refused.json()["code"]) == (409, "not_oneself")

    assert not user(province, "admin-province").must_change_password
    assert f"/admin/people/{number}/reset" not in admin.get(f"/admin/people/{number}").text
    assert entries(province) == []


def test_two_administrators_who_shut_each_other_out_leave_one(province: Site):
    province.signed_in(name="first")
    province.signed_in(name="second")
    first, second = user(province, "first"), user(province, "second")
    now = province.clock.now()
    with writing(province.engine) as db:
        users.shut_out(db, people.get(db, "second"), now=now, by=By("first", "session", first.id))

    with pytest.raises(LastAdmin), writing(province.engine) as db:  # asked while the second was still let in
        users.shut_out(db, people.get(db, "first"), now=now, by=By("second", "session", second.id))
    lower, by = Profile(role="operator"), By("second", "session", second.id)
    with pytest.raises(LastAdmin), writing(province.engine) as db:
        users.edit(db, people.get(db, "first"), lower, version=1, now=now, by=by)


def test_shutting_out_shows_what_it_ends_and_ends_it(province: Site):
    admin = province.signed_in()
    amina = province.signed_in("operator", name="amina")
    key = amina.post("/api/v1/keys", json={"name": "Grafana", "password": PASSWORD}).json()["key"]
    number = user(province, "amina").id

    shown = admin.get(f"/admin/people/{number}/disable").text
    assert "1 open session ends" in shown
    assert "1 key for programs is removed" in shown
    assert admin.post(f"/admin/people/{number}/disable").status_code == 303

    assert amina.get("/").status_code == 303
    bearer = {"Authorization": f"Bearer {key}"}
    assert province.visitor().get("/api/v1/annexes", headers=bearer).status_code == 401
    with reading(province.engine) as db:
        assert not db.scalars(select(ApiKey)).all()
    again = admin.post(f"/admin/people/{number}/enable")
    password = ONE_TIME.search(again.text)
    assert password is not None
    client = province.visitor()
    assert client.post("/sign-in", data={"name": "amina", "password": password[0]}).status_code == 303


def test_the_list_is_searched_and_paged(province: Site):
    with writing(province.engine) as db:
        for number in range(60):
            people.create(
                db, name=f"agent-{number:02}", password_hash=QUICK_HASH, role="staff",
                annex_ids=["berkane-1" if number % 2 else "berkane-2"], now=province.clock.now(),
                full_name="Youssef Alaoui" if number == 7 else "",
            )  # fmt: skip
    admin = province.signed_in()

    first = admin.get("/admin/people?role=staff").text
    assert first.count("agent-") >= 50
    assert "agent-55" not in first
    following = re.search(r'href="(/admin/people\?[^"]*after=agent-49[^"]*)"', first)
    assert following is not None
    assert "agent-55" in admin.get(following[1].replace("&amp;", "&")).text
    assert "agent-07" in admin.get("/admin/people?search=alaoui").text
    assert "agent-08" not in admin.get("/admin/people?search=berkane-1").text
    assert "Nobody of that kind" in admin.get("/admin/people?search=%25").text


# -- the API

NEW = {"name": "amina", "role": "staff", "annexes": ["berkane-1"]}


def test_a_repeated_wish_makes_one_person_and_answers_the_same(province: Site):
    admin = province.signed_in()

    first, second = (admin.post("/api/v1/users", json=NEW, headers={"Idempotency-Key": "amina"}) for _ in range(2))

    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert ONE_TIME.fullmatch(first.json()["password"])
    assert admin.get("/api/v1/users/amina").json()["password"] is None
    assert admin.post("/api/v1/users", json=NEW).status_code == 409


def test_a_change_names_the_version_that_was_read(province: Site):
    admin = province.signed_in()
    admin.post("/api/v1/users", json=NEW)
    etag = admin.get("/api/v1/users/amina").headers["etag"]

    assert admin.patch("/api/v1/users/amina", json={"full_name": "A"}).status_code == 428
    changed = admin.patch("/api/v1/users/amina", json={"full_name": "A"}, headers={"If-Match": etag})
    assert changed.json()["full_name"] == "A"
    assert changed.json()["annexes"] == ["berkane-1"]
    late = admin.patch("/api/v1/users/amina", json={"role": "operator"}, headers={"If-Match": etag})
    assert (late.status_code, late.json()["code"]) == (409, "person_changed")
    wide = admin.patch("/api/v1/users/amina", json={"annexes": None, "version": 2})
    assert wide.json()["annexes"] is None
    assert admin.patch("/api/v1/users/amina", json={"annexes": [], "version": 3}).status_code == 422


def test_what_else_is_done_to_a_person(province: Site):
    admin = province.signed_in()
    amina = province.signed_in("staff", annex="berkane-1", name="amina")

    assert admin.post("/api/v1/users/amina/end-sessions").json() == {"sessions": 1}
    assert amina.get("/").status_code == 303
    assert ONE_TIME.fullmatch(admin.post("/api/v1/users/amina/reset").json()["password"])
    assert admin.post("/api/v1/users/amina/reset-factor").json()["second_factor_since"] is None
    assert admin.post("/api/v1/users/amina/disable").json()["disabled_at"] is not None
    assert ONE_TIME.fullmatch(admin.post("/api/v1/users/amina/enable").json()["password"])
    assert admin.post("/api/v1/users/admin-province/disable").json()["code"] == "not_oneself"
    assert {act for act, _, _ in entries(province)} >= {
        "user.end_sessions", "user.reset", "user.reset_factor", "user.disable", "user.enable",
    }  # fmt: skip


def test_people_are_listed_by_cursor(province: Site):
    admin = province.signed_in()
    for name in ("amina", "brahim", "chama"):
        province.signed_in("staff", annex="berkane-1", name=name)

    first = admin.get("/api/v1/users?role=staff&limit=2").json()
    second = admin.get(f"/api/v1/users?role=staff&limit=2&cursor={first['next']}").json()

    assert [one["name"] for one in first["items"] + second["items"]] == ["amina", "brahim", "chama"]
    assert second["next"] is None
