import re
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places, ran, rolled
from tests.controller.web.library import library
from tests.controller.web.test_pages import LANGUAGES, POLYGLOTS, Parsed
from tests.controller.web.test_runs import spaced, text

from annexfleet_controller.rollouts import bundle
from annexfleet_controller.store import audit, rollout_events, rollout_targets, rollouts
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.runs import RunRow
from annexfleet_controller.waves import natures
from annexfleet_controller.waves.model import Policy


@pytest.fixture
def place(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Devices 1 to 6 in one annex, 7 to 9 in another; all take commands."""
    directory = library(tmp_path / "library")
    monkeypatch.setattr(bundle, "library", lambda _home: directory)
    with writing(site.engine) as db:
        for number in (1, 2):
            places.annex(db, number, site.clock.now())
        for number in range(1, 10):
            places.device(db, number, "berkane-1" if number < 7 else "berkane-2", now=site.clock.now())
            ran.takes_commands(db, number)
    return site


def a_draft(site: Site, waves: object = ((1, 2), (3, 4, 7)), **of: object) -> int:
    with writing(site.engine) as db:
        return rolled.draft(db, waves, now=site.clock.now(), **of)  # type: ignore[arg-type]


def running(site: Site, **of: object) -> int:
    rollout_id = a_draft(site, **of)
    with writing(site.engine) as db:
        rolled.started(db, rollout_id, now=site.clock.now())
    return rollout_id


def found(site: Site, rollout_id: int) -> rollouts.Detail:
    with reading(site.engine) as db:
        return rollouts.find(db, WHOLE, rollout_id)


def press(client: TestClient, site: Site, rollout_id: int, act: str, **fields: object):
    sent = {"version": found(site, rollout_id).version} | fields
    return client.post(f"/rollouts/{rollout_id}/{act}", data=sent)


def acts(page: str) -> set[str]:
    return set(re.findall(r'action="/rollouts/\d+/([\w-]+)"', page)) | (
        {"edit"} if "/rollouts/new?draft=" in page else set()
    )


def test_the_empty_list_says_what_to_do(place: Site):
    page = place.signed_in("technician").get("/rollouts").text

    assert "Nothing has been rolled out yet" in page
    assert page.count('href="/rollouts/new"') == 2
    assert 'href="/rollouts" aria-current="page"' in page


def test_the_list_tells_how_each_stands(place: Site):
    rollout_id = running(place)
    with writing(place.engine) as db:
        rolled.stand(db, rollout_id, {1: "succeeded", 2: "failed"}, now=place.clock.now())
    a_draft(place, name="Second")

    html = place.signed_in("technician").get("/rollouts").text

    page = spaced(html)
    assert "Agent 0.5.0 #1 Running Wave 1 of 2, devices are being changed" in page
    assert "1 succeeded 1 failed 3 waiting" in page
    assert html.index("Second") < html.index("Agent 0.5.0")
    assert 'data-rollouts data-hx-get="/rollouts"' in html


@pytest.mark.parametrize(
    ("query", "shown"),
    [("state=open", {1}), ("state=running", {1}), ("state=draft", {2}), ("state=done", set()), ("before=2", {1}),
     ("playbook=files", {2})],
)  # fmt: skip
def test_the_list_is_narrowed(place: Site, query: str, shown: set[int]):
    running(place)
    a_draft(place, playbook="files")

    page = place.signed_in("technician").get(f"/rollouts?{query}").text

    assert {int(one) for one in re.findall(r'href="/rollouts/(\d+)"', page)} == shown
    assert ("No rollout is like that." in page) is (not shown)


def test_a_running_rollout_is_told_live(place: Site):
    rollout_id = running(place, compliant=(5,), unreachable=(6,))
    with writing(place.engine) as db:
        now = place.clock.now()
        run_id = ran.queued(db, [1, 2], now=now)
        rolled.stand(db, rollout_id, {1: "succeeded", 2: "failed"}, now=now, run_id=run_id, reasons={2: "differs"})
        rolled.judged(db, rollout_id, rolled.STOP, now=now)
    client = place.signed_in("technician")

    whole = client.get(f"/rollouts/{rollout_id}").text
    block = client.get(f"/rollouts/{rollout_id}", headers={"hx-request": "true", "hx-target": "div#state"}).text

    assert 'data-events="/api/v1/events"' in whole
    assert '<link rel="stylesheet" href="/static/rollouts.css">' in whole
    assert block.lstrip().startswith('<div id="state" data-rollouts')
    page = spaced(block)
    assert "Running Wave 1 of 2" in page
    assert "Devices of this wave are being changed." in page
    assert "Wave 1 Test group devices are being changed Done: 2 of 2, 1 ended badly" in page
    assert "Wave 2 Done: 0 of 3" in page
    assert "In no wave: 1 had it already 1 left out" in page
    assert "failed it reports something else than was wanted" in page
    assert f'href="/runs/{run_id}/devices/{device_id(2)}"' in block


def test_a_square_tells_its_device_and_state_without_its_colour(place: Site):
    rollout_id = running(place)
    with writing(place.engine) as db:
        rolled.stand(db, rollout_id, {1: "timed_out"}, now=place.clock.now())

    tags = Parsed(place.signed_in("technician").get(f"/rollouts/{rollout_id}").text).tags
    squares = [of for tag, of in tags if tag == "a" and (of.get("class") or "").startswith("square")]

    assert len(squares) == 5
    assert squares[0]["class"] == "square timed_out"
    assert squares[0]["href"] == f"/devices/{device_id(1)}"
    assert "guichet-1" in (squares[0]["title"] or "")
    assert "time was up" in (squares[0]["title"] or "")


def test_the_gate_says_why_in_words(place: Site):
    rollout_id = running(place)
    with writing(place.engine) as db:
        rolled.stopped(db, rollout_id, now=place.clock.now())

    page = text(place.signed_in("operator"), f"/rollouts/{rollout_id}")

    assert "Stopped by itself" in page
    assert "the changed devices fare worse, see below" in page
    assert "Too many devices ended badly Ended badly: 3 of 9" in page
    assert "Changed devices: 4 of 6; devices not touched: 1 of 40" in page
    assert re.search(r"By \W?4%\W? an hour more", page)
    assert "OptiPlex 3080" in page


def test_the_time_that_is_left_and_when_the_next_window_opens(place: Site):
    place.clock.at = place.clock.at.replace(hour=10, minute=0, second=0)
    while place.clock.at.weekday() != 2:
        place.clock.turn(days=1)
    rollout_id = running(place)

    page = text(place.signed_in("technician"), f"/rollouts/{rollout_id}")

    assert "It waits until annexes close; the next ones can be worked in from: 16:30" in page
    assert re.search(r"\d+ (d|hrs?|min)[^.]* left Over about", page)
    assert "from what the playbook usually takes" in page


def test_devices_are_narrowed_by_state_wave_and_annex(place: Site):
    rollout_id = running(place)
    with writing(place.engine) as db:
        rolled.stand(db, rollout_id, {1: "failed"}, now=place.clock.now())
    client = place.signed_in("technician")

    def shown(query: str) -> list[str]:
        return re.findall(r'<tr id="t-(\d+)"', client.get(f"/rollouts/{rollout_id}?{query}").text)

    assert shown("state=failed") == ["1"]
    assert shown("wave=2") == ["3", "4", "7"]
    assert shown("annex=berkane-2") == ["7"]
    assert shown("") == ["1", "2", "3", "4", "7"], "what needs somebody stands on top"
    assert shown("state=succeeded") == []
    assert shown("after=1.0.1") == ["2", "3", "4", "7"]
    for bad in ("state=upset", "after=x", "wave=-1"):
        assert client.get(f"/rollouts/{rollout_id}?{bad}").status_code == 422


def test_many_devices_come_in_pages_and_squares_only_around_the_wave(place: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("annexfleet_controller.web.pages.rollouts._SQUARES", 100)
    with writing(place.engine) as db:
        for number in range(100, 305):
            places.device(db, number, "berkane-1", now=place.clock.now())
    rollout_id = a_draft(place, waves=([1], [2], [3], range(100, 305)))
    client = place.signed_in("technician")

    first = client.get(f"/rollouts/{rollout_id}?state=waiting").text
    more = re.search(r'href="(/rollouts/\d+\?state=waiting&amp;after=[^"#]+)', first)
    assert more is not None
    rest = client.get(more[1].replace("&amp;", "&")).text

    assert first.count('<tr id="t-') == 100
    assert len(set(re.findall(r'<tr id="t-(\d+)', first + rest))) == 200
    assert len(re.findall(r'<a class="square', first)) == 2
    assert "Not all devices are shown" in client.get(f"/rollouts/{rollout_id}").text


def test_the_story_tells_who_did_what(place: Site):
    rollout_id = running(place)

    page = text(place.signed_in("technician"), f"/rollouts/{rollout_id}")

    story = page[page.index("What happened") :]
    assert re.search(r"Started amina .*Approved karim .*Submitted amina devices: 6, waves: 2 .*Drafted amina", story)


@pytest.mark.parametrize(
    ("role", "name", "state", "expected"),
    [
        ("technician", "amina", "draft", {"submit", "dry-run", "edit", "abort", "clone"}),
        ("technician", "hicham", "draft", {"submit", "dry-run", "edit", "clone"}),
        ("technician", "amina", "submitted", {"withdraw", "dry-run", "abort", "clone"}),
        ("operator", "amina", "submitted", {"withdraw", "dry-run", "abort", "clone"}),
        ("operator", "karim", "submitted", {"approve", "reject", "withdraw", "dry-run", "abort", "clone"}),
        ("technician", "amina", "approved", {"start", "withdraw", "dry-run", "abort", "clone"}),
        ("technician", "hicham", "approved", {"withdraw", "dry-run", "clone"}),
        ("technician", "hicham", "running", {"pause", "clone"}),
        ("technician", "amina", "running", {"pause", "abort", "clone"}),
    ],
)
def test_only_what_one_may_do_is_offered(place: Site, role: str, name: str, state: str, expected: set[str]):
    rollout_id = a_draft(place)
    with writing(place.engine) as db:
        if state == "running":
            rolled.started(db, rollout_id, now=place.clock.now())
        elif state != "draft":
            rolled.submitted(db, rollout_id, now=place.clock.now())
            if state == "approved":
                rolled.approved(db, rollout_id, now=place.clock.now())

    page = place.signed_in(role, name=name).get(f"/rollouts/{rollout_id}").text

    assert acts(page) - {"rehearse"} == expected
    assert ("rehearse" in acts(page)) is (state != "running")


def test_from_draft_to_start_by_two_people(place: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bundle, "nature", lambda *_args: natures.unknown("tea"))
    rollout_id = a_draft(place)
    amina, karim = place.signed_in("technician", name="amina"), place.signed_in("operator", name="karim")

    assert press(amina, place, rollout_id, "submit").headers["location"] == f"/rollouts/{rollout_id}"
    assert found(place, rollout_id).state == "submitted"
    assert press(amina, place, rollout_id, "approve").status_code == 403
    assert press(karim, place, rollout_id, "approve").status_code == 303
    assert "you can start it" in text(amina, f"/rollouts/{rollout_id}")
    unsure = press(amina, place, rollout_id, "start")
    assert unsure.status_code == 422
    assert "This is not the number of devices" in unsure.text
    count = sum(row.wave > 0 for row in targets(place, rollout_id))
    assert press(amina, place, rollout_id, "start", count=str(count)).status_code == 303
    assert found(place, rollout_id).state == "running"
    with reading(place.engine) as db:
        assert {entry.act for entry in audit.entries(db, WHOLE)} == {
            "rollout.submit", "rollout.approve", "rollout.start",
        }  # fmt: skip


def targets(site: Site, rollout_id: int) -> list[rollout_targets.TargetRow]:
    with reading(site.engine) as db:
        return rollout_targets.listing(db, WHOLE, rollout_id)


def test_who_comes_second_is_told_who_was_first_and_with_what(place: Site):
    rollout_id = running(place)
    amina, karim = place.signed_in("technician", name="amina"), place.signed_in("operator", name="karim")
    shown = amina.get(f"/rollouts/{rollout_id}").text
    sent = dict(re.findall(r'name="(version|story)" value="(\d+)"', shown))
    assert press(karim, place, rollout_id, "pause", reason="I look at it").status_code == 303

    answer = amina.post(f"/rollouts/{rollout_id}/abort", data=sent | {"reason": "wrong version"})

    assert answer.status_code == 409
    assert re.search(r"Meanwhile: Paused, karim , \d\d:\d\d", spaced(answer.text))
    assert found(place, rollout_id).state == "paused"
    again = dict(re.findall(r'name="(version|story)" value="(\d+)"', answer.text))
    assert amina.post(f"/rollouts/{rollout_id}/abort", data=again | {"reason": "wrong version"}).status_code == 303
    assert found(place, rollout_id).state == "aborted"


def test_pause_resume_and_end(place: Site):
    rollout_id = running(place)
    client = place.signed_in("technician", name="amina")

    press(client, place, rollout_id, "pause", reason="Lunch")
    page = text(client, f"/rollouts/{rollout_id}")
    assert "Paused Wave 1 of 2 Lunch Nothing new is begun. Resume it, or end it." in page
    press(client, place, rollout_id, "resume")
    assert found(place, rollout_id).state == "running"
    answer = press(client, place, rollout_id, "abort")
    assert answer.status_code == 422
    assert "Reason : Please fill it in." in spaced(answer.text)
    press(client, place, rollout_id, "abort", reason="wrong version")
    assert "Ended by a person" in text(client, f"/rollouts/{rollout_id}")
    assert {row.state for row in targets(place, rollout_id)} == {"skipped"}


def test_after_a_stop_one_goes_on_only_with_a_reason(place: Site):
    rollout_id = running(place)
    with writing(place.engine) as db:
        rolled.stopped(db, rollout_id, now=place.clock.now())
    client = place.signed_in("technician", name="amina")
    assert "Read the reasons below" in text(client, f"/rollouts/{rollout_id}")

    assert press(client, place, rollout_id, "resume").status_code == 422
    assert press(client, place, rollout_id, "resume", reason="A printer of another maker").status_code == 303

    assert found(place, rollout_id).state == "running"


def test_another_person_of_the_same_rank_does_not_end_it(place: Site):
    rollout_id = running(place)

    answer = press(place.signed_in("technician", name="hicham"), place, rollout_id, "abort", reason="x")

    assert answer.status_code == 403
    assert found(place, rollout_id).state == "running"


def test_a_second_person_sends_it_back_and_says_why(place: Site):
    rollout_id = a_draft(place)
    with writing(place.engine) as db:
        rolled.submitted(db, rollout_id, now=place.clock.now())
    karim = place.signed_in("operator", name="karim")

    assert press(karim, place, rollout_id, "reject", reason="Not before the holidays").status_code == 303

    page = text(karim, f"/rollouts/{rollout_id}")
    assert "Draft Not before the holidays" in page
    assert found(place, rollout_id).state == "draft"


def test_a_dry_run_is_attached_and_its_changes_are_linked(place: Site):
    rollout_id = a_draft(place)
    client = place.signed_in("technician", name="amina")
    assert "None yet: it shows what would change" in text(client, f"/rollouts/{rollout_id}")

    assert press(client, place, rollout_id, "dry-run").status_code == 303

    run_id = found(place, rollout_id).dry_run_id
    assert run_id is not None
    page = client.get(f"/rollouts/{rollout_id}").text
    assert f'href="/runs/{run_id}#changes"' in page
    busy = press(client, place, rollout_id, "dry-run")
    assert busy.status_code == 409
    assert f'href="/runs/{run_id}"' in busy.text
    with writing(place.engine) as db:
        db.get_one(RunRow, run_id).bundle_digest = "of another library"
    page = client.get(f"/rollouts/{rollout_id}").text
    assert f'href="/runs/{run_id}#changes"' not in page
    assert "stands no longer" in page


def test_what_failed_is_tried_again_and_what_was_changed_is_taken_back(place: Site):
    rollout_id = running(place)
    with writing(place.engine) as db:
        now = place.clock.now()
        rolled.stand(
            db, rollout_id, {1: "succeeded", 2: "failed", 3: "succeeded", 4: "unknown", 7: "succeeded"}, now=now
        )
        rolled.turned(db, rollout_id, "done", "done", now=now, ended_at=now)
    client = place.signed_in("technician", name="hicham")
    assert {"retry", "rollback", "clone"} <= acts(client.get(f"/rollouts/{rollout_id}").text)

    again = press(client, place, rollout_id, "retry").headers["location"]
    back = press(client, place, rollout_id, "rollback").headers["location"]
    copy = press(client, place, rollout_id, "clone").headers["location"]

    assert [again, back, copy] == ["/rollouts/2", "/rollouts/3", "/rollouts/4"]
    assert sorted(row.device_number for row in targets(place, 2)) == [2, 4]
    assert sorted(row.device_number for row in targets(place, 3)) == [1, 2, 3, 4, 7]
    assert "Way back of #1" in text(client, back)
    assert "1 changed device is not among these" in text(client, f"{back}?lost=1")


def test_a_secret_that_nobody_kept_is_asked_for_in_the_form(place: Site):
    rollout_id = running(place, secret_names=["tea_password"])
    with writing(place.engine) as db:
        rolled.stand(db, rollout_id, {2: "failed"}, now=place.clock.now())
        rolled.turned(db, rollout_id, "done", "done", now=place.clock.now(), ended_at=place.clock.now())
    client = place.signed_in("technician", name="amina")

    assert press(client, place, rollout_id, "clone").headers["location"] == f"/rollouts/new?like={rollout_id}"
    address = press(client, place, rollout_id, "retry").headers["location"]
    assert address == f"/rollouts/new?like={rollout_id}&failed=true"
    page = client.get(address).text
    assert f'name="devices" value="{device_id(2)}" checked' in page
    assert f'name="devices" value="{device_id(1)}" checked' not in page


def test_confined_to_an_annex_one_sees_its_devices_and_changes_nothing_beyond(place: Site):
    rollout_id = running(place)
    elsewhere = a_draft(place, waves=([7],))
    client = place.signed_in("operator", annex="berkane-1")

    page = client.get(f"/rollouts/{rollout_id}").text

    assert device_id(7) not in page
    assert acts(page) == {"clone"}
    assert press(client, place, rollout_id, "pause").status_code == 403
    assert client.get(f"/rollouts/{elsewhere}").status_code == 404
    assert f"/rollouts/{elsewhere}" not in client.get("/rollouts").text


def test_a_device_tells_what_was_rolled_out_to_it(place: Site):
    rollout_id = running(place)
    with writing(place.engine) as db:
        rolled.stand(db, rollout_id, {1: "failed"}, now=place.clock.now(), reasons={1: "play_failed"})

    page = text(place.signed_in("technician"), f"/devices/{device_id(1)}")

    assert "Rollouts to this device failed Agent 0.5.0 a task of the playbook failed #1 , Running" in page
    assert "Rollouts to this device" not in text(place.signed_in("technician"), f"/devices/{device_id(9)}")
    assert "Rollouts to this device" not in text(place.signed_in("staff"), f"/devices/{device_id(1)}")


def test_staff_have_no_entry_in_the_menu(place: Site):
    assert 'href="/rollouts"' not in place.signed_in("staff").get("/").text
    assert 'href="/rollouts"' in place.signed_in("technician").get("/").text


def test_in_every_language_and_state(place: Site):
    client = place.signed_in("operator")
    now = place.clock.now()
    ids = [
        a_draft(place),
        running(place, policy=Policy(window="always")),
        running(place),
        running(place),
        running(place),
    ]
    with writing(place.engine) as db:
        rolled.submitted(db, ids[0], now=now)
        rolled.stand(db, ids[1], {1: "running", 2: "verifying", 3: "deferred", 4: "unknown", 7: "skipped"}, now=now)
        rolled.stopped(db, ids[2], now=now)
        rolled.turned(db, ids[3], "aborted", "aborted", now=now, actor="x", state_reason="x", facts={"reason": "x"})
        rolled.turned(db, ids[4], "superseded", "superseded", now=now, state_reason="superseded")
    for code in LANGUAGES:
        client.post("/language", data={"code": code})
        for path in ("/rollouts", *(f"/rollouts/{one}" for one in ids)):
            answer = client.get(path)
            assert answer.status_code == 200
            shown = Parsed(answer.text).text
            assert not re.search(r"waits_for|timed_out|now_worse|bad_results|\brolling\b|rollout_", shown)


@pytest.mark.parametrize("word", POLYGLOTS)
def test_whatever_people_wrote_is_text_and_nothing_else(place: Site, word: str):
    rollout_id = running(place, name=word[:120], reason=word[:200], variables={"tea_name": word})
    with writing(place.engine) as db:
        rollout_events.add(db, rollout_id, "paused", now=place.clock.now(), actor=word, facts={"reason": word})
        rolled.turned(
            db, rollout_id, "paused", "paused", now=place.clock.now(), actor=word, state_reason=word[:200],
            facts={"reason": word},
        )  # fmt: skip
    client = place.signed_in("technician")
    for path in ("/rollouts", f"/rollouts/{rollout_id}", f"/devices/{device_id(1)}"):
        page = client.get(path).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "\u202e" not in page


def test_a_rollout_that_is_not_there(place: Site):
    client = place.signed_in("technician")

    assert client.get("/rollouts/7").status_code == 404
    assert client.post("/rollouts/7/pause", data={"version": "1"}).status_code == 404
    assert client.post("/rollouts/7/approve", data={"version": "1"}).status_code == 403
    rollout_id = running(place)
    assert client.post(f"/rollouts/{rollout_id}/explode", data={"version": "1"}).status_code == 422
    assert client.post(f"/rollouts/{rollout_id}/pause", data={}).status_code == 422
    assert found(place, rollout_id).deadline_at == place.clock.now() + timedelta(days=14)
