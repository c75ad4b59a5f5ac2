"""What annex staff see and do without a password: the board, and the page of a printer's code."""

from datetime import timedelta

import msgspec
import pytest
from fastapi.testclient import TestClient
from tests.controller.jammed import Annex
from tests.controller.site import Site
from tests.controller.web import places, troubled

from annexfleet_controller.access import guessing
from annexfleet_controller.access import links as making
from annexfleet_controller.maintenance import Area, Maintenance
from annexfleet_controller.readiness.model import AnnexReadiness, ServiceReadiness
from annexfleet_controller.store import audit, incidents, links, maintenance, readiness
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE


@pytest.fixture
def jam(site: Site) -> Annex:
    return Annex(site.engine, now=site.clock.now())


def board(site: Site, annex_id: str = "berkane-1", label: str = "hall") -> str:
    """The path of a new board."""
    with writing(site.engine) as db:
        _, secret = making.new_board_at_console(db, annex_id, label=label, by="test", now=site.clock.now())
    return f"/board/{secret}"


def sticker(site: Site, jam: Annex, place: str = "Guichet 2") -> str:
    """The path of the jammed printer's code."""
    with writing(site.engine) as db:
        label, _ = links.put_label(db, WHOLE, "berkane-1", jam.printer.id, place=place, now=site.clock.now())
    return f"/p/{label.code}"


def looked(site: Site, **states: str) -> None:
    """The watch loop was there and found this."""
    with writing(site.engine) as db:
        services = tuple(ServiceReadiness(code, state) for code, state in states.items())  # type: ignore[arg-type]
        readiness.write_now(db, {"berkane-1": AnnexReadiness("berkane-1", services)}, now=site.clock.now())
        readiness.note(db, {}, now=site.clock.now())


def acts(site: Site) -> list[tuple[str, str, str]]:
    with reading(site.engine) as db:
        return [(e.actor, e.via, e.act) for e in audit.entries(db, WHOLE) if e.act in {"board.fixed", "board.help"}]


def test_a_jam_is_found_with_its_steps_and_said_to_be_fixed_and_the_devices_confirm_it(site: Site, jam: Annex):
    path, visitor = board(site), site.visitor()

    first = visitor.get(path)
    assert first.status_code == 200
    assert "Open the cover of the printer." in first.text
    assert "pictures.svg#jam" in first.text

    pressed = visitor.post(f"{path}/incidents/{jam.incident.id}/fixed")
    assert (pressed.status_code, pressed.headers["location"]) == (303, path)
    assert "We are checking" in visitor.get(path).text
    assert "There is nothing for you to do" in visitor.get(path).text
    assert "1 thing to do" not in visitor.get(path).text

    site.clock.turn(seconds=30)
    jam.resolve(at=site.clock.now(), now=site.clock.now())

    after = visitor.get(path).text
    assert "It is fixed: the device confirms it" in after
    assert "Open the cover" not in after
    assert acts(site) == [("board:hall", "link", "board.fixed")]
    assert ("fix_claimed", "board:hall") in [(kind, by) for kind, by, _ in jam.story()]


def test_what_is_not_confirmed_is_said_and_can_be_tried_again(site: Site, jam: Annex):
    path, visitor = board(site), site.visitor()
    visitor.post(f"{path}/incidents/{jam.incident.id}/fixed")
    visitor.post(f"{path}/incidents/{jam.incident.id}/fixed")  # a second press while it is checked changes nothing

    site.clock.turn(seconds=119)
    later = site.clock.now()
    jam.step(later, evidence_at=later)

    at_once = visitor.get(path).text
    assert "still reports" in at_once
    assert "It is fixed now" not in at_once
    visitor.post(f"{path}/incidents/{jam.incident.id}/fixed")  # so soon after an answer it would only fill the story
    assert len(acts(site)) == 1

    site.clock.turn(minutes=2)
    assert "It is fixed now" in visitor.get(path).text
    visitor.post(f"{path}/incidents/{jam.incident.id}/fixed")
    assert len(acts(site)) == 2


def test_what_is_left_in_peace_is_neither_fixed_nor_called_for(site: Site, jam: Annex):
    path, code, visitor = board(site), sticker(site, jam), site.visitor()
    with writing(site.engine) as db:
        incidents.save(db, [msgspec.structs.replace(jam.incident, muted=True)])

    assert 'name="incident"' not in visitor.get(code).text
    for act in ("fixed", "help"):
        assert visitor.post(f"{path}/incidents/{jam.incident.id}/{act}").headers["location"] == path
        assert pressed(visitor, code, act, jam.incident.id) == 303

    assert acts(site) == []
    assert {kind for kind, _, _ in jam.story()} & {"fix_claimed", "help_asked"} == set()


def test_what_staff_cannot_end_is_not_said_to_be_fixed_by_a_link(site: Site, jam: Annex):
    path, code, visitor = board(site), sticker(site, jam), site.visitor()
    with writing(site.engine) as db:
        incidents.save(db, [msgspec.structs.replace(jam.incident, cause="jam_repeat")])

    assert f'{code}/fixed"' not in visitor.get(code).text
    assert visitor.post(f"{path}/incidents/{jam.incident.id}/fixed").headers["location"] == path
    assert pressed(visitor, code, "fixed", jam.incident.id) == 303
    assert acts(site) == []

    assert pressed(visitor, code, "help", jam.incident.id) == 303
    assert [act for _, _, act in acts(site)] == ["board.help"]


def test_help_is_asked_for_once_however_often_the_button_is_pressed(site: Site, jam: Annex):
    path, visitor = board(site), site.visitor()
    for _ in range(3):
        visitor.post(f"{path}/incidents/{jam.incident.id}/help")

    assert acts(site) == [("board:hall", "link", "board.help")]
    assert [by for kind, by, _ in jam.story() if kind == "help_asked"] == ["board:hall"]
    assert "Help was asked for at" in visitor.get(path).text
    story = site.signed_in("operator").get(f"/incidents/{jam.incident.id}").text
    assert "from the board <bdi>hall</bdi>" in story


def test_a_link_opens_its_own_annex_and_no_other(site: Site, jam: Annex):
    with writing(site.engine) as db:
        places.annex(db, 2, site.clock.now())
    other, visitor = board(site, "berkane-2"), site.visitor()

    assert "Paper jam" not in visitor.get(other).text
    for act in ("fixed", "help"):
        assert visitor.post(f"{other}/incidents/{jam.incident.id}/{act}").status_code == 404
    assert acts(site) == []


def test_unknown_and_revoked_links_look_the_same(site: Site, jam: Annex):
    path, visitor = board(site), site.visitor()
    with writing(site.engine) as db:
        (found,) = links.boards(db, WHOLE)
        making.revoke_board(db, WHOLE, found.id, by="x", via="console", now=site.clock.now())

    answers = [visitor.get(path), visitor.get(f"/board/{'x' * 43}"), visitor.get("/p/nothing"), visitor.get("/board/x")]
    assert {answer.status_code for answer in answers} == {404}
    assert all("This link opens nothing" in answer.text for answer in answers)
    assert len({answer.text.replace(str(answer.url.path), "") for answer in answers}) == 1
    asked_by_script = visitor.get(path, headers={"HX-Request": "true", "HX-Target": "div#state"})
    assert (asked_by_script.status_code, asked_by_script.headers["HX-Refresh"]) == (204, "true")


def test_whoever_guesses_waits_and_who_has_a_link_does_not(site: Site, jam: Annex):
    path, code, visitor = board(site), sticker(site, jam), site.visitor()
    tried = [visitor.get(f"/board/{number:043}").status_code for number in range(guessing.FREE_BY_ADDRESS + 1)]

    assert tried == [404] * guessing.FREE_BY_ADDRESS + [429]
    assert visitor.get(path).status_code == 200
    assert visitor.get(code).status_code == 429
    site.person("amina")
    assert visitor.post("/sign-in", data={"name": "amina", "password": "wrong"}).status_code == 401  # and not 429
    site.clock.turn(hours=1)
    assert visitor.get(code).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
def test_other_sites_press_no_buttons(site: Site, jam: Annex, headers: dict[str, str]):
    path, code = board(site), sticker(site, jam)

    answer = site.visitor().post(f"{path}/incidents/{jam.incident.id}/fixed", headers=headers)
    by_code = site.visitor().post(f"{code}/fixed", data={"incident": str(jam.incident.id)}, headers=headers)

    assert (answer.status_code, by_code.status_code) == (403, 403)
    assert acts(site) == []


def test_the_path_is_kept_secret(site: Site, jam: Annex):
    for path in (board(site), sticker(site, jam), "/board/unknown"):
        headers = site.visitor().get(path).headers
        assert headers["Referrer-Policy"] == "strict-origin"
        assert "noindex" in headers["X-Robots-Tag"]
        assert headers["Cache-Control"] == "no-store"


def test_use_is_written_at_most_hourly(site: Site, jam: Annex):
    path, visitor = board(site), site.visitor()
    seen = []
    for _ in range(3):
        visitor.get(path)
        with reading(site.engine) as db:
            seen.append(links.boards(db, WHOLE)[0].used_at)
        site.clock.turn(minutes=40)

    assert seen[0] == seen[1]
    assert seen[2] - seen[0] == timedelta(minutes=80)


def test_at_most_three_things_and_the_rest_is_others(site: Site, jam: Annex):
    now = site.clock.now()
    with writing(site.engine) as db:
        for number in (1, 2, 3):
            of = troubled.alert(
                db, "device.offline", "device", places.device_id(number), now=now, cause="device_offline",
                facts={"device": f"guichet-{number}"},
            )  # fmt: skip
            troubled.incident(db, "device", "device_offline", [of], now=now)
        of = troubled.alert(db, "portal.down_local", "portal", "berkane-1/x", now=now, cause="portal_down")
        troubled.incident(db, "portal_down", "portal_down", [of], now=now)

    html = site.visitor().get(board(site)).text

    assert html.count('<article class="task') == 3
    assert "1 more comes after these." in html
    assert "Others take care of" in html


def test_calm_is_said_only_of_what_was_looked_at(site: Site):
    with writing(site.engine) as db:
        places.annex(db, 1, site.clock.now())
    path, visitor = board(site), site.visitor()
    assert "We cannot tell at this moment" in visitor.get(path).text

    looked(site, residence="ready")
    assert "Everything works" in visitor.get(path).text

    looked(site, residence="blocked")
    assert "Not everything works at this moment" in visitor.get(path).text
    site.clock.turn(hours=1)
    assert "We cannot tell at this moment" in visitor.get(path).text


def test_who_waits_and_what_comes_tonight(site: Site, jam: Annex):
    now = site.clock.now()
    with writing(site.engine) as db:
        places.queue(db, 2, "residence", waiting=12, at=now)
        for hours, reason in ((1, "New switch"), (60, "Far away")):
            begins = now + timedelta(hours=hours)
            m = Maintenance(
                area=Area(annexes=("berkane-1",)), touches=("berkane-1",), starts_at=begins,
                ends_at=begins + timedelta(hours=1), reason=reason, author="amina", created_at=now,
            )  # fmt: skip
            maintenance.create(db, m)

    html = site.visitor().get(board(site)).text

    assert "<b>12</b> people waiting" in html
    assert "New switch" in html
    assert "Far away" not in html
    assert "Please leave the devices switched on" in html


def test_a_board_speaks_the_language_of_its_visitor(site: Site, jam: Annex):
    path = board(site)
    arabic = site.visitor().get(path, headers={"Accept-Language": "ar"}).text
    chosen = site.visitor()
    chosen.post("/language", data={"code": "fr", "back": path})

    assert 'dir="rtl"' in arabic
    assert "Ouvrez le capot" in chosen.get(path).text


# -- the code on a printer


def pressed(client: TestClient, path: str, act: str, incident_id: int) -> int:
    return client.post(f"{path}/{act}", data={"incident": str(incident_id)}).status_code


def test_a_code_opens_its_printer_and_nothing_else_of_the_annex(site: Site, jam: Annex):
    path, visitor = sticker(site, jam), site.visitor()
    with writing(site.engine) as db:
        places.queue(db, 2, "residence", waiting=12, at=site.clock.now())

    html = visitor.get(path).text

    assert "Paper jam" in html
    assert "Guichet 2" in html
    assert "Open the cover of the printer." in html
    assert "Annexe administrative" not in html
    assert "waiting" not in html
    assert visitor.get(path.upper().replace("/P/", "/p/")).status_code == 200


def test_at_the_printer_it_is_said_to_be_fixed_and_confirmed(site: Site, jam: Annex):
    path, visitor = sticker(site, jam), site.visitor()

    assert pressed(visitor, path, "fixed", jam.incident.id) == 303
    assert pressed(visitor, path, "help", jam.incident.id) == 303
    assert "We are checking" in visitor.get(path).text
    site.clock.turn(seconds=30)
    jam.resolve(at=site.clock.now(), now=site.clock.now())

    assert "It is fixed: the device confirms it" in visitor.get(path).text
    assert {actor for actor, _, _ in acts(site)} == {"label:Guichet 2"}


def test_a_code_acts_on_its_own_printer_only(site: Site, jam: Annex):
    now = site.clock.now()
    path = sticker(site, jam)
    with writing(site.engine) as db:
        of = troubled.alert(db, "device.offline", "device", places.device_id(1), now=now, cause="device_offline")
        other = troubled.incident(db, "device", "device_offline", [of], now=now)

    assert pressed(site.visitor(), path, "fixed", other.id) == 404
    assert pressed(site.visitor(), path, "help", other.id) == 404


def test_a_printer_without_trouble_and_one_that_nobody_sees(site: Site, jam: Annex):
    path = sticker(site, jam)
    site.clock.turn(minutes=1)
    jam.resolve(at=site.clock.now(), now=site.clock.now())
    with writing(site.engine) as db:
        for number in (1, 2):
            places.printers(db, number, [places.Printed("p", address="10.0.0.9:631")], at=site.clock.now())
    assert "This printer works" in site.visitor().get(path).text

    site.clock.turn(hours=1)  # no device was heard since
    assert "We cannot tell at this moment" in site.visitor().get(path).text
