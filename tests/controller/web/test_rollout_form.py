import re
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places, ran, rolled
from tests.controller.web.library import library
from tests.controller.web.test_pages import LANGUAGES, POLYGLOTS, Parsed
from tests.controller.web.test_run_form import hidden
from tests.controller.web.test_runs import spaced

from annexfleet_controller.rollouts import bundle, keeping
from annexfleet_controller.store import reaching, rollout_targets, rollouts
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.waves.documents import PRESETS
from annexfleet_controller.waves.model import Selector

SECRET = "canary-77ab01"


@pytest.fixture
def place(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Six devices in one annex, one a kiosk that is away, one that takes no commands; three in another."""
    directory = library(tmp_path / "library")
    monkeypatch.setattr(bundle, "library", lambda _home: directory)
    with writing(site.engine) as db:
        for number in (1, 2):
            places.annex(db, number, site.clock.now())
        for number in range(1, 10):
            places.device(
                db, number, "berkane-1" if number < 7 else "berkane-2", now=site.clock.now(),
                role="kiosk" if number == 3 else "counter", connected=number != 3,
                model="M404" if number == 9 else "OptiPlex 3080",
            )  # fmt: skip
            if number != 6:
                ran.takes_commands(db, number)
        reaching.put_tags(db, 1, ["pilot"])
        reaching.put_tags(db, 7, ["pilot", "old"])
    return site


def form(**of: object) -> dict[str, object]:
    """The form of `tea` as it is filled in at first."""
    filled = {
        "playbook": "tea", "name": "Tea for all", "annexes": "berkane-1", "preset": "careful", "deadline_days": "14",
        "v.tea_kind": "green", "v.tea_name": "x", "v.tea_sugar": "true", "v.tea_cups": "2", "v.tea_herbs": "mint",
        "v.tea_wait_s": "300", "do": "review",
    }  # fmt: skip
    return filled | {name.replace("__", "."): value for name, value in of.items()}


def kept(site: Site, rollout_id: int = 1) -> rollouts.Detail:
    with reading(site.engine) as db:
        return rollouts.find(db, WHOLE, rollout_id)


def numbers(site: Site, rollout_id: int = 1) -> list[int]:
    with reading(site.engine) as db:
        return sorted(row.device_number for row in rollout_targets.listing(db, WHOLE, rollout_id))


def test_first_a_playbook_is_chosen(place: Site):
    page = place.signed_in("technician").get(f"/rollouts/new?device={device_id(1)}").text

    assert f'href="/rollouts/new?playbook=tea&amp;device={device_id(1)}"' in page
    assert "Make tea" in page


def test_the_form_offers_what_is_in_sight_with_numbers(place: Site):
    client = place.signed_in("technician")
    page = spaced(client.get("/rollouts/new?playbook=tea").text)

    assert "Every annex 9" in page
    assert "Annexe administrative 1 6" in page
    assert "Counter 8 Kiosk 1" in page
    assert "old 1 pilot 2" in page
    assert "M404 1 OptiPlex 3080 8" in page
    assert "Nothing is ticked yet." in page
    assert "Careful" in page
    confined = place.signed_in("technician", annex="berkane-2").get("/rollouts/new?playbook=tea").text
    assert device_id(1) not in confined
    assert "Every annex 3" in spaced(confined)
    assert client.get("/rollouts/new?playbook=coffee").status_code == 404


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ({}, 6),
        ({"roles": "kiosk"}, 1),
        ({"annexes": [], "tags": "pilot"}, 2),
        ({"annexes": [], "tags": "pilot", "without_tags": "old"}, 1),
        ({"annexes": [], "models": "M404"}, 1),
        ({"annexes": [], "agent_versions": "0.1.0"}, 9),
        ({"annexes": [], "readiness": "unknown"}, 9),
        ({"annexes": ["berkane-2"], "devices": [device_id(1), device_id(8)]}, 1),
        ({"annexes": [], "every": "true"}, 9),
    ],
)
def test_what_is_ticked_is_counted_without_a_script(place: Site, of: dict[str, object], expected: int):
    answer = place.signed_in("technician").post("/rollouts/new", data=form(do="count", **of))

    assert answer.status_code == 200
    assert f"{expected} of 9 devices are meant" in spaced(answer.text)
    assert 'value="Tea for all"' in answer.text


def test_the_waves_are_shown_before_anything_is_kept(place: Site):
    answer = place.signed_in("technician").post("/rollouts/new", data=form(v__tea_cups="7"))

    assert answer.status_code == 200
    page = spaced(answer.text)
    assert "5 devices in 2 waves" in page
    assert re.search(r"Wave 1 Test group 2 devices in 1 annex .*Wave 2 3 devices in 1 annex", page)
    assert "1 device takes no commands and is left out guichet-6" in page
    assert "1 device is not connected now" in page
    assert "A second person has to approve it: a tenth of all devices or more" in page
    assert "None: what was changed stays changed" in page
    assert "tea_cups 7" in page
    assert answer.text.count('<svg class="night"') == 7
    assert re.search(r"Over, if it began now .*from what the playbook usually takes", page)
    with reading(place.engine) as db:
        assert rollouts.listing(db, WHOLE, limit=9) == []


def test_a_draft_is_kept_as_it_was_shown(place: Site):
    client = place.signed_in("technician", name="amina")
    page = client.post("/rollouts/new", data=form(v__tea_cups="7", p__soak_s="20", p__most_bad_ratio="2,5")).text

    answer = client.post("/rollouts", data=hidden(page) | {"do": "save", "v.tea_password": SECRET})

    assert (answer.status_code, answer.headers["location"]) == (303, "/rollouts/1")
    draft = kept(place)
    assert (draft.state, draft.name, draft.playbook, draft.author) == ("draft", "Tea for all", "tea", "amina")
    assert draft.variables == {"tea_name": "x", "tea_cups": 7}
    assert draft.selector == Selector(annexes=("berkane-1",))
    assert (draft.policy.soak_s, draft.policy.most_bad_ratio) == (1200.0, 0.025)
    assert draft.policy.canary_soak_open_s == PRESETS["careful"].canary_soak_open_s
    assert keeping.secrets(place.home, 1) == {"tea_password": SECRET}
    assert numbers(place) == [1, 2, 3, 4, 5, 6]
    assert not any(SECRET in client.get(path).text for path in ("/rollouts", "/rollouts/1", "/rollouts/new?draft=1"))
    assert SECRET.encode() not in Path(str(place.engine.url.database)).read_bytes()


def test_it_can_be_submitted_at_once(place: Site):
    client = place.signed_in("technician")
    page = client.post("/rollouts/new", data=form()).text

    assert client.post("/rollouts", data=hidden(page) | {"do": "submit"}).status_code == 303

    assert kept(place).state == "submitted"


def test_devices_that_changed_meanwhile_are_shown_again_and_nothing_is_kept(place: Site):
    client = place.signed_in("technician")
    page = client.post("/rollouts/new", data=form()).text
    with writing(place.engine) as db:
        places.device(db, 20, "berkane-1", now=place.clock.now())
        ran.takes_commands(db, 20)

    answer = client.post("/rollouts", data=hidden(page) | {"do": "submit"})

    assert answer.status_code == 409
    assert "has changed meanwhile" in answer.text
    assert "6 devices in" in spaced(answer.text)
    with reading(place.engine) as db:
        assert rollouts.listing(db, WHOLE, limit=9) == []
    assert client.post("/rollouts", data=hidden(answer.text) | {"do": "submit"}).status_code == 303


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ({"annexes": []}, "Devices: Please tick annexes"),
        ({"annexes": [], "tags": "nobody"}, "Devices: No device is meant."),
        ({"name": ""}, "Name: Please fill it in."),
        ({"deadline_days": "soon"}, "Time it may take from its start: A number is expected here."),
        ({"deadline_days": "400"}, "An hour to 90 days are possible."),
        ({"p__growth": "0"}, "Each wave so many times as large as all before: This number is too small or too large."),
        ({"p__soak_s": "a while"}, "Watch each wave for: A number is expected here."),
        ({"p__growth": "nan"}, ": A number is expected here."),
        ({"reason": "seen\u200bunseen"}, "Reason: It holds a sign that nobody sees"),
        ({"preset": "reckless"}, "Pace: There is no such way of proceeding."),
        ({"preset": "urgent"}, "Reason: Please fill it in."),
        ({"window": "sometimes"}, "When: Devices are changed while their annex is closed"),
        ({"roles": "toaster"}, "Kind: A device is a counter"),
        ({"v__tea_cups": "many"}, "tea_cups: this is not of the kind"),
    ],
)
def test_what_cannot_be_is_said_beside_what_was_typed(place: Site, of: dict[str, object], said: str):
    answer = place.signed_in("technician").post("/rollouts/new", data=form(v__tea_name="Kept words", **of))

    assert answer.status_code == 422
    assert said in spaced(answer.text).replace(" :", ":")
    assert "Kept words" in answer.text


def test_a_draft_is_said_anew_and_its_secret_stays(place: Site):
    client = place.signed_in("technician", name="amina")
    page = client.post("/rollouts/new", data=form(p__most_at_once="5")).text
    client.post("/rollouts", data=hidden(page) | {"do": "save", "v.tea_password": SECRET})

    again = client.get("/rollouts/new?draft=1").text
    assert re.search(r'name="annexes" value="berkane-1" checked', again)
    assert re.search(r'id="p.most_at_once"[^>]* value="5"', again)
    fields = form(annexes="berkane-2", p__most_at_once="5", draft="1", version=str(kept(place).version))
    shown = client.post("/rollouts/new", data=fields).text
    assert "A password that is left empty stays as it is." in shown
    assert client.post("/rollouts", data=hidden(shown) | {"do": "save"}).status_code == 303

    assert numbers(place) == [7, 8, 9]
    assert keeping.secrets(place.home, 1) == {"tea_password": SECRET}
    late = client.post("/rollouts", data=hidden(shown) | {"do": "save"})
    assert late.status_code == 409
    assert "Somebody else changed this rollout meanwhile" in late.text


def test_a_secret_that_was_typed_for_what_was_refused_is_not_kept(place: Site):
    client = place.signed_in("technician", name="amina")
    page = client.post("/rollouts/new", data=form()).text
    client.post("/rollouts", data=hidden(page) | {"do": "save", "v.tea_password": SECRET})
    shown = client.post("/rollouts/new", data=form(draft="1", version=str(kept(place).version))).text
    with writing(place.engine) as db:
        places.device(db, 20, "berkane-1", now=place.clock.now())
        ran.takes_commands(db, 20)

    answer = client.post("/rollouts", data=hidden(shown) | {"do": "submit", "v.tea_password": "quite another"})

    assert answer.status_code == 409
    assert keeping.secrets(place.home, 1) == {"tea_password": SECRET}


def test_the_wish_of_another_rollout_is_taken_over(place: Site):
    with writing(place.engine) as db:
        rolled.draft(db, [[1, 2]], now=place.clock.now(), policy=PRESETS["evening"], reason="Ticket 9")

    page = place.signed_in("technician").get("/rollouts/new?like=1").text

    assert 'value="Ticket 9"' in page
    assert re.search(r'name="preset" value="evening" checked', page)
    assert re.search(r'name="every" value="true" checked', page)


def test_beyond_ones_annexes_nothing_is_rolled_out(place: Site):
    client = place.signed_in("technician", annex="berkane-1")

    assert client.post("/rollouts/new", data=form(annexes="berkane-2")).status_code == 404
    assert client.post("/rollouts/new", data=form(devices=[device_id(8)])).status_code == 404
    assert "5 devices in" in spaced(client.post("/rollouts/new", data=form(annexes=[], every="true")).text)


def test_the_calendar_shows_when_annexes_are_closed(place: Site):
    place.clock.at = datetime(2026, 11, 25, 9, tzinfo=UTC)  # a Wednesday; offices are open from 8:30 to 16:30

    page = spaced(place.signed_in("technician").post("/rollouts/new", data=form()).text)

    table = page[page.index("Night from") : page.index("annexes may be worked in")]
    assert re.search(r"Wednesday,? 25 November (1 )?16:30–08:30", table)
    assert "The whole day" in table  # from Saturday noon to Sunday noon


def test_everything_that_cannot_be_is_named_at_once(place: Site):
    sent = form(name="", p__soak_s="a while", p__most_at_once="0", preset="urgent", deadline_days="400")
    answer = place.signed_in("technician").post("/rollouts/new", data=sent)

    assert answer.status_code == 422
    alerts = [unescape(re.sub("<[^>]+>", "", one)) for one in re.findall(r'role="alert">(.*?)</p>', answer.text)]
    named = [re.sub("[\u2066-\u2069]", "", one).partition(":")[0] for one in alerts]
    assert len(named) == len(set(named)) == 5, alerts


def test_in_every_language(place: Site):
    client = place.signed_in("technician")
    for code in LANGUAGES:
        client.post("/language", data={"code": code})
        pages = [
            client.get("/rollouts/new"), client.get("/rollouts/new?playbook=tea"),
            client.post("/rollouts/new", data=form()), client.post("/rollouts/new", data=form(annexes=[])),
            client.post("/rollouts/new", data=form(p__growth="0")),
        ]  # fmt: skip
        assert [page.status_code for page in pages] == [200, 200, 200, 422, 422]
        shown = [Parsed(page.text).text for page in pages]
        assert not any(re.search("nobody_chosen|not_within|canary_|large_share|rollout_", one) for one in shown)


@pytest.mark.parametrize("word", POLYGLOTS)
def test_whatever_is_typed_is_text_and_nothing_else(place: Site, word: str):
    filled = form(v__tea_name=word, reason=word, name=word[:100], p__soak_s=word, deadline_days=word, tags=word)
    client = place.signed_in("technician")
    calm = form(v__tea_name=word, reason=word[:150].replace("\u202e", ""), name="x")
    for page in (
        client.post("/rollouts/new", data=filled), client.post("/rollouts/new", data=filled | {"do": "count"}),
        client.post("/rollouts/new", data=calm),
    ):  # fmt: skip
        assert page.status_code in {200, 422}
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text


def test_a_deadline_in_days(place: Site):
    client = place.signed_in("technician")
    page = client.post("/rollouts/new", data=form(deadline_days="0,5")).text
    client.post("/rollouts", data=hidden(page) | {"do": "save"})

    assert kept(place).deadline_s == timedelta(hours=12).total_seconds()
