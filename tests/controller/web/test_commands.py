import re
from html import unescape

import pytest
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places, ran
from tests.controller.web.places import Printed
from tests.controller.web.test_pages import LANGUAGES, POLYGLOTS, Parsed

from annexfleet_agent.protocol.commands import COMMANDS
from annexfleet_controller.i18n.catalogues import CODES, language
from annexfleet_controller.store import command_reads
from annexfleet_controller.store.database import reading, writing

PAGE = f"/devices/{device_id(1)}"
SEND = f"{PAGE}/commands"


@pytest.fixture
def place(site: Site) -> Site:
    with writing(site.engine) as db:
        places.annex(db, 1, site.clock.now())
        places.device(db, 1, "berkane-1", now=site.clock.now())
        places.printers(db, 1, [Printed("guichet-hp")], at=site.clock.now())
        ran.takes_commands(db, 1)
    return site


def sent(site: Site) -> list[command_reads.Command]:
    with reading(site.engine) as db:
        return command_reads.of_device(db, 1)


def text(html: str) -> str:
    return " ".join(Parsed(html).text.split())


def test_what_disturbs_says_what_people_notice_before_it_is_sent(place: Site):
    page = place.signed_in("technician").get(PAGE).text

    for name, kind in COMMANDS.items():
        words = language("en")
        assert words.name("command", name) in page
        assert not kind.disturbs or words.name("command_notice", name) in unescape(page)
    assert page.count('class="notice"') == sum(kind.disturbs for kind in COMMANDS.values())
    assert '<option value="guichet-hp">' in page.replace(" selected", "")


def test_a_form_sends_a_command_once_however_often_it_is_sent(place: Site):
    client = place.signed_in("technician")
    key = re.search(r'name="key" value="(c-[a-z2-7]+)"', client.get(PAGE).text)
    assert key is not None
    form = {"name": "reboot", "delay_s": "300", "key": key[1]}

    answers = [client.post(SEND, data=form) for _ in range(2)]

    assert [(a.status_code, a.headers["location"]) for a in answers] == [(303, f"{PAGE}#commands")] * 2
    assert [(one.id, one.parameters) for one in sent(place)] == [(key[1], {"delay_s": 300})]


def test_its_receipt_is_told_with_who_and_when(place: Site):
    client = place.signed_in("technician", name="amina")
    client.post(SEND, data={"name": "clear_print_queue", "printer": "guichet-hp"})
    assert re.search(
        r"Waits Clear a print queue Printer guichet-hp amina, \d\d:\d\d, is dropped at", text(client.get(PAGE).text)
    )

    with writing(place.engine) as db:
        ran.command(db, 1, "diagnostics", now=place.clock.now(), outcome="failed")

    block = client.get(PAGE, headers={"hx-request": "true", "hx-target": "div#state"}).text
    assert "Failed Collect diagnostics" in text(block)


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"name": "restart_service", "unit": "cups service"}, 422, "This cannot be a name of that kind"),
        ({"name": "restart_service"}, 422, "Something is missing"),
        ({"name": "reboot", "delay_s": "soon"}, 422, "This is no number."),
        ({"name": "reboot", "delay_s": "99999"}, 422, "This is too little or too much."),
        ({"name": "reboot", "key": "mine"}, 422, "This cannot be a name of that kind"),
    ],
)
def test_what_cannot_be_is_said_beside_what_was_typed(place: Site, form: dict[str, str], status: int, said: str):
    answer = place.signed_in("technician").post(SEND, data=form)

    assert answer.status_code == status
    assert said in text(answer.text)
    assert form.get("unit", "") in answer.text
    assert sent(place) == []


def test_a_command_that_does_not_exist_is_refused(place: Site):
    assert place.signed_in("technician").post(SEND, data={"name": "shell"}).status_code == 422


def test_a_device_that_takes_none_says_so(place: Site):
    with writing(place.engine) as db:
        places.device(db, 2, "berkane-1", now=place.clock.now())
    client = place.signed_in("technician")

    page = client.get(f"/devices/{device_id(2)}").text
    answer = client.post(f"/devices/{device_id(2)}/commands", data={"name": "watch"})

    assert "This device takes no commands" in text(page)
    assert SEND not in page
    assert (answer.status_code, "This device takes no commands" in text(answer.text)) == (409, True)


def test_without_a_printer_no_queue_can_be_cleared_and_an_absent_device_is_waited_for(place: Site):
    with writing(place.engine) as db:
        places.device(db, 2, "berkane-1", now=place.clock.now(), connected=False)
        ran.takes_commands(db, 2)

    page = text(place.signed_in("technician").get(f"/devices/{device_id(2)}").text)

    assert "It knows of no printer." in page
    assert "A command waits for it for ten minutes" in page


def test_staff_see_no_commands(place: Site):
    assert "commands" not in place.signed_in("staff").get(PAGE).text


def test_in_every_language(place: Site):
    client = place.signed_in("technician")
    client.post(SEND, data={"name": "reboot"})
    with writing(place.engine) as db:
        for outcome in ("done", "refused", "failed", "unknown"):
            ran.command(db, 1, "watch", now=place.clock.now(), outcome=outcome)
    for code in LANGUAGES:
        client.post("/language", data={"code": code})

        page = client.get(PAGE)

        assert page.status_code == 200
        assert not re.search(r"restart_service|delay_s|not_sent", Parsed(page.text).text)


@pytest.mark.parametrize("code", CODES)
def test_every_command_has_its_words(code: str):
    words = language(code)
    for name, kind in COMMANDS.items():
        wanted = ["command", "command_about", "command_confirm"] + (["command_notice"] if kind.disturbs else [])
        assert [context for context in wanted if not words.knows(context, name)] == []
        assert [p.name for p in kind.parameters if not words.knows("command_parameter", p.name)] == []


@pytest.mark.parametrize("word", POLYGLOTS)
def test_a_printers_name_is_text_and_nothing_else(place: Site, word: str):
    with writing(place.engine) as db:
        places.printers(db, 1, [Printed(word)], at=place.clock.now())

    page = place.signed_in("technician").get(PAGE).text

    assert "<script>alert" not in page
    assert "<img src=x" not in page
