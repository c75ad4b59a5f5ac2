import re
from html import unescape
from pathlib import Path

import pytest
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places, ran
from tests.controller.web.library import library
from tests.controller.web.test_pages import LANGUAGES, POLYGLOTS, Parsed

from annexfleet_controller.rollouts import bundle
from annexfleet_controller.rollouts.errors import LibraryWrong
from annexfleet_controller.store import audit, run_hosts, run_queue, run_results, runs
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.run_progress import Batch, Progress
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.runs import RunRow

SECRET = "canary-6b1f0e"


@pytest.fixture
def place(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Three devices in one annex, one of them a kiosk that is away; two in another."""
    directory = library(tmp_path / "library")
    monkeypatch.setattr(bundle, "library", lambda _home: directory)
    with writing(site.engine) as db:
        for number in (1, 2):
            places.annex(db, number, site.clock.now())
        for number in range(1, 6):
            places.device(
                db, number, "berkane-1" if number < 4 else "berkane-2", now=site.clock.now(),
                role="kiosk" if number == 3 else "counter", connected=number != 3,
            )  # fmt: skip
    return site


def form(**of: object) -> dict[str, object]:
    """The form of `tea` as it is filled in at first."""
    filled = {
        "playbook": "tea", "annex": "berkane-1", "v.tea_kind": "green", "v.tea_name": "x", "v.tea_sugar": "true",
        "v.tea_cups": "2", "v.tea_herbs": "mint", "v.tea_wait_s": "300", "reason": "Ticket 12", "do": "review",
    }  # fmt: skip
    return filled | {name.replace("__", "."): value for name, value in of.items()}


def spaced(html: str) -> str:
    return " ".join(Parsed(html.replace("<", " <")).text.split())


def hidden(html: str) -> dict[str, list[str]]:
    """The fields of the last page, as its form would send them."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', html):
        found.setdefault(unescape(name), []).append(unescape(value))
    found.pop("csrf_token")
    return found


def all_runs(site: Site) -> list[runs.Run]:
    with reading(site.engine) as db:
        return runs.listing(db, WHOLE, limit=50)


def devices_of(site: Site, run_id: int) -> list[str]:
    with reading(site.engine) as db:
        return run_hosts.target_ids(db, run_id)


def test_first_a_playbook_is_chosen(place: Site):
    page = place.signed_in("technician").get(f"/runs/new?device={device_id(1)}").text

    assert f'href="/runs/new?playbook=tea&amp;device={device_id(1)}"' in page
    assert "Make tea" in page
    assert "Files" in page  # in our own words


def test_a_library_that_is_not_there_is_said(place: Site, monkeypatch: pytest.MonkeyPatch):
    def gone(_home: object) -> Path:
        raise LibraryWrong("gone")

    monkeypatch.setattr(bundle, "library", gone)

    assert "The library holds no playbook." in place.signed_in("technician").get("/runs/new").text


def test_the_form_offers_what_is_in_sight(place: Site):
    page = place.signed_in("technician", annex="berkane-1").get("/runs/new?playbook=tea").text

    assert 'name="v.tea_guests.0.name"' in page
    assert device_id(1) in page
    assert device_id(4) not in page
    assert "tea_password" not in page
    assert place.signed_in("technician").get("/runs/new?playbook=coffee").status_code == 404
    assert place.signed_in("technician").get("/runs/new?playbook=../x").status_code == 404


def test_the_last_page_shows_the_devices_and_the_settings(place: Site):
    answer = place.signed_in("technician").post("/runs/new", data=form(v__tea_cups="7"))

    assert answer.status_code == 200
    page = spaced(answer.text)
    assert "3 devices 1 of them is not connected now" in page
    assert "guichet-1 guichet-2 guichet-3 silent" in page
    assert "tea_cups 7" in page
    assert "tea_herbs" not in page  # as the playbook has it
    assert page.index("Try first (dry run)") < page.index("Apply for real")
    assert "Yes, change 3 devices" in page


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ({}, [1, 2, 3]),
        ({"role": "kiosk"}, [3]),
        ({"annex": [], "device": [device_id(4)]}, [4]),
        ({"annex": "berkane-2", "device": [device_id(1)]}, [1, 4, 5]),
        ({"annex": [], "every": "true", "role": ["counter"]}, [1, 2, 4, 5]),
    ],
)
def test_what_was_shown_is_what_is_run(place: Site, of: dict[str, object], expected: list[int]):
    client = place.signed_in("technician", name="amina")
    page = client.post("/runs/new", data=form(v__tea_cups="7", **of)).text

    answer = client.post("/runs", data=hidden(page) | {"do": "check", "v.tea_password": SECRET})

    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/1")
    [run] = all_runs(place)
    assert (run.playbook, run.check, run.author, run.reason) == ("tea", True, "amina", "Ticket 12")
    assert run.variables == {"tea_name": "x", "tea_cups": 7}
    assert run.secret_names == ("tea_password",)
    assert devices_of(place, 1) == [device_id(number) for number in expected]
    with reading(place.engine) as db:
        [entry] = audit.entries(db, WHOLE)
    assert (entry.act, entry.actor, entry.subject, entry.facts["devices"]) == (
        "run.create", "amina", "run:1", len(expected),
    )  # fmt: skip


def test_a_secret_is_on_no_page_and_in_no_row(place: Site):
    client = place.signed_in("technician")
    page = client.post("/runs/new", data=form()).text
    assert '<input type="password" id="v.tea_password"' in page
    fields = hidden(page) | {"do": "apply", "v.tea_password": SECRET}
    again = client.post("/runs", data=fields | {"digest": "another"})
    client.post("/runs", data=fields)

    shown = [client.get(path).text for path in ("/runs", "/runs/1", "/runs/new?like=1", "/admin/audit")]

    assert not any(SECRET in text for text in (*shown, again.text))
    assert SECRET.encode() not in Path(str(place.engine.url.database)).read_bytes()
    assert all_runs(place)[0].check is False


def test_devices_that_changed_meanwhile_are_shown_again(place: Site):
    client = place.signed_in("technician")
    page = client.post("/runs/new", data=form()).text
    with writing(place.engine) as db:
        places.device(db, 9, "berkane-1", now=place.clock.now())

    answer = client.post("/runs", data=hidden(page) | {"do": "apply", "v.tea_password": SECRET})

    assert answer.status_code == 409
    assert "has changed meanwhile" in answer.text
    assert "4 devices" in spaced(answer.text)
    assert all_runs(place) == []
    answer = client.post("/runs", data=hidden(answer.text) | {"do": "apply", "v.tea_password": SECRET})
    assert answer.status_code == 303


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ({"annex": []}, "Choose at least one annex or device"),
        ({"annex": [], "role": "kiosk"}, "Choose at least one annex or device"),
        ({"v__tea_cups": "many"}, "tea_cups: this is not of the kind"),
        ({"v__tea_kind": "red"}, "tea_kind: please choose one"),
        ({"v__tea_extra": "{"}, "tea_extra: this cannot be written like that."),
        ({"v__tea_guests__0__age": "4"}, "tea_guests[0].name: please fill it in."),
    ],
)
def test_what_cannot_be_is_said_beside_what_was_typed(place: Site, of: dict[str, object], said: str):
    answer = place.signed_in("technician").post("/runs/new", data=form(v__tea_name="Kept words", **of))

    assert answer.status_code == 422
    assert said in spaced(answer.text).replace(" :", ":")
    assert "Kept words" in answer.text


def test_a_secret_that_is_too_short_is_refused_on_the_last_page(place: Site):
    client = place.signed_in("technician")
    page = client.post("/runs/new", data=form()).text

    answer = client.post("/runs", data=hidden(page) | {"do": "check", "v.tea_password": "x"})

    assert answer.status_code == 422
    assert "this secret is too short." in answer.text
    assert all_runs(place) == []


def test_back_to_the_form_with_all_that_was_typed_and_more_rows(place: Site):
    filled = form(v__tea_guests__0__name="Amina", v__tea_guests__1__name="Sara", do="form", annex=["berkane-2"])

    page = place.signed_in("technician").post("/runs/new", data=filled).text

    assert 'value="Amina"' in page
    assert 'name="v.tea_guests.3.name"' in page
    assert re.search(r'name="annex" value="berkane-2" checked', page)


def test_a_device_of_another_run_leads_there(place: Site):
    with writing(place.engine) as db:
        ran.queued(db, [2], now=place.clock.now())
    client = place.signed_in("technician")
    page = client.post("/runs/new", data=form()).text

    answer = client.post("/runs", data=hidden(page) | {"do": "check", "v.tea_password": SECRET})

    assert answer.status_code == 409
    assert 'href="/runs/1"' in answer.text


def test_beyond_ones_annexes_nothing_is_run(place: Site):
    client = place.signed_in("technician", annex="berkane-1")

    assert client.post("/runs/new", data=form(annex="berkane-2")).status_code == 404
    assert client.post("/runs/new", data=form(device=[device_id(4)])).status_code == 404
    page = client.post("/runs/new", data=form(annex=[], every="true")).text
    assert "3 devices" in spaced(page)


def ended_dry(site: Site, **of: object) -> int:
    with writing(site.engine) as db:
        run_id = ran.begun(
            db, [1, 2], now=site.clock.now(), playbook="tea", check=True, variables={"tea_name": "x"}, **of
        )
        ran.ended(db, run_id, 1, "changed", now=site.clock.now(), diff=ran.DIFF)
        ran.ended(db, run_id, 2, "failed", now=site.clock.now())
        run_queue.finish(db, run_id, 1, outcome="failed", now=site.clock.now())
    return run_id


def test_after_a_dry_run_the_same_is_applied(place: Site):
    run_id = ended_dry(place)
    client = place.signed_in("technician")
    assert "Yes, change 2 devices" in client.get(f"/runs/{run_id}").text

    answer = client.post(f"/runs/{run_id}/apply")

    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/2")
    made = all_runs(place)[0]
    assert (made.check, made.playbook, made.variables) == (False, "tea", {"tea_name": "x"})
    assert devices_of(place, 2) == devices_of(place, 1)


def test_what_is_no_dry_run_that_ended_is_not_applied(place: Site):
    with writing(place.engine) as db:
        running = ran.begun(db, [1], now=place.clock.now(), playbook="tea", check=True)
    client = place.signed_in("technician")

    assert client.post(f"/runs/{running}/apply").status_code == 409
    assert client.post(f"/runs/{running}/retry").status_code == 409
    assert "Apply for real" not in client.get(f"/runs/{running}").text


def test_a_dry_run_of_a_rollout_is_applied_by_the_rollout_alone(place: Site):
    run_id = ended_dry(place)
    with writing(place.engine) as db:
        db.get_one(RunRow, run_id).reason = "rollout:7"
    client = place.signed_in("technician")
    page = client.get(f"/runs/{run_id}").text
    assert "Apply for real" not in page
    assert 'href="/rollouts/7"' in page

    answer = client.post(f"/runs/{run_id}/apply")

    assert answer.status_code == 409
    assert "belongs to a rollout" in answer.text
    with reading(place.engine) as db:
        assert len(runs.listing(db, WHOLE, limit=10)) == 1


def test_a_dry_run_tells_first_how_many_failed_and_never_that_all_is_well_then(place: Site):
    with writing(place.engine) as db:
        run_id = ran.begun(db, [1, 2], now=place.clock.now(), playbook="tea", check=True)
        progress = [
            Progress(device_number=1, state="ended", outcome="ok"),
            Progress(device_number=2, state="ended", outcome="failed", diff_digest="d" * 64),
        ]
        run_results.write(db, run_id, Batch(hosts=progress), now=place.clock.now())
        run_queue.finish(db, run_id, 1, outcome="failed", now=place.clock.now())
    page = place.signed_in("technician").get(f"/runs/{run_id}").text
    assert "1 device failed or was not reached" in page
    assert "is as the playbook describes it" not in page
    # As far as it came, it is shown.
    assert "until it failed" in page


def test_the_rest_is_tried_again(place: Site):
    run_id = ended_dry(place)
    client = place.signed_in("technician")
    assert "Yes, run it on 1 device" in client.get(f"/runs/{run_id}").text

    assert client.post(f"/runs/{run_id}/retry").status_code == 303

    assert devices_of(place, 2) == [device_id(2)]
    assert all_runs(place)[0].check is True


def test_with_secrets_the_form_comes_again(place: Site):
    run_id = ended_dry(place, secret_names=["tea_password"])
    client = place.signed_in("technician")

    for act in ("apply", "retry"):
        answer = client.post(f"/runs/{run_id}/{act}")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/new?like={run_id}")
    page = client.get(f"/runs/new?like={run_id}").text
    assert f'name="device" value="{device_id(2)}" checked' in page


def test_a_device_that_is_busy_is_said_on_the_page_of_the_run(place: Site):
    run_id = ended_dry(place)
    with writing(place.engine) as db:
        other = ran.queued(db, [2], now=place.clock.now())

    answer = place.signed_in("technician").post(f"/runs/{run_id}/apply")

    assert answer.status_code == 409
    assert f'href="/runs/{other}"' in answer.text
    with reading(place.engine) as db:
        assert [run.id for run in runs.listing(db, WHOLE, limit=9)] == [other, run_id], "nothing is left of the wish"


def test_in_every_language(place: Site):
    client = place.signed_in("technician")
    for code in LANGUAGES:
        client.post("/language", data={"code": code})
        pages = [
            client.get("/runs/new"), client.get("/runs/new?playbook=tea"), client.post("/runs/new", data=form()),
            client.post("/runs/new", data=form(v__tea_cups="x")), client.post("/runs/new", data=form(annex=[])),
        ]  # fmt: skip
        assert [page.status_code for page in pages] == [200, 200, 200, 422, 422]
        assert not any(re.search("wrong_type|no_devices", Parsed(page.text).text) for page in pages)


@pytest.mark.parametrize("word", POLYGLOTS)
def test_whatever_is_typed_is_text_and_nothing_else(place: Site, word: str):
    filled = form(v__tea_name=word, v__tea_guests__0__name=word, reason=word, do="review")
    client = place.signed_in("technician")
    for page in (client.post("/runs/new", data=filled), client.post("/runs/new", data=filled | {"do": "form"})):
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
