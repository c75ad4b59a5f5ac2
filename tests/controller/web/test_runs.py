import re

import pytest
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places, ran
from tests.controller.web.test_pages import LANGUAGES, POLYGLOTS, Parsed

from annexfleet_controller.store import audit, run_queue, run_results, runs
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.run_progress import Batch, Result
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.web import diffs


@pytest.fixture
def place(site: Site) -> Site:
    """Devices 1 to 6 in one annex, 7 to 9 in another."""
    with writing(site.engine) as db:
        for number in (1, 2):
            places.annex(db, number, site.clock.now())
        for number in range(1, 10):
            places.device(db, number, "berkane-1" if number < 7 else "berkane-2", now=site.clock.now())
    return site


def spaced(html: str) -> str:
    """What a page says, with a space wherever an element begins."""
    return " ".join(Parsed(html.replace("<", " <")).text.split())


def text(client, path: str) -> str:
    return spaced(client.get(path).text)


def test_the_empty_list_says_what_to_do(place: Site):
    page = place.signed_in("technician").get("/runs").text

    assert "Nothing has been run yet" in page
    assert page.count('href="/runs/new"') == 2


def test_the_list_tells_who_what_when_and_how_it_stands(place: Site):
    now = place.clock.now()
    with writing(place.engine) as db:
        ran.dry(db, now=now, same=[1, 2])
        run_id = ran.begun(db, [3, 4, 7], now=now, playbook="packages", reason="Ticket 12")
        ran.ended(db, run_id, 3, "failed", now=now, message="no space")
        ran.at_work(db, run_id, 4, now=now)
    client = place.signed_in("technician")

    page = text(client, "/runs")

    assert re.search(r"Packages #2 Running 1 failed 1 at work 1 waiting tech , \d\d:\d\d , Ticket 12", page)
    assert "Printers #1 Dry run Ended well 2 with changes" in page


@pytest.mark.parametrize(
    ("query", "shown"),
    [("state=running", {2}), ("state=ok", {1}), ("playbook=packages", {2}), ("state=failed", set()), ("before=2", {1})],
)
def test_the_list_is_narrowed(place: Site, query: str, shown: set[int]):
    with writing(place.engine) as db:
        ran.dry(db, now=place.clock.now(), same=[1])
        ran.begun(db, [2], now=place.clock.now(), playbook="packages")

    page = place.signed_in("technician").get(f"/runs?{query}").text

    assert {int(found) for found in re.findall(r'href="/runs/(\d+)"', page)} == shown
    assert ("No run is like that." in page) is (not shown)


def test_a_run_is_told_live_with_what_needs_somebody_on_top(place: Site):
    now = place.clock.now()
    with writing(place.engine) as db:
        run_id = ran.begun(db, [1, 2, 3, 4, 5], now=now, variables={"packages_present": ["cups"]}, secret_names=["key"])
        ran.ended(db, run_id, 1, "ok", now=now)
        ran.ended(db, run_id, 2, "unreachable", now=now, message="not connected")
        ran.ended(db, run_id, 3, "failed", now=now, message="no space left")
        ran.at_work(db, run_id, 4, now=now)
    client = place.signed_in("technician")

    whole = client.get(f"/runs/{run_id}").text
    block = client.get(f"/runs/{run_id}", headers={"hx-request": "true", "hx-target": "div#state"}).text

    assert 'data-events="/api/v1/events"' in whole
    assert block.lstrip().startswith('<div id="state" data-runs')
    page = spaced(block)
    assert "Done: 3 of 5" in page
    assert "At work now Put the settings of CUPS in place 1 device" in page
    assert "cups" in page
    assert "key secret, not kept" in page
    order = re.findall(r"guichet-(\d)", page[page.index("Devices") :])
    assert order == ["3", "2", "4", "1", "5"]
    assert "no space left" in page


def test_devices_that_stand_alike_are_shown_alone(place: Site):
    now = place.clock.now()
    with writing(place.engine) as db:
        run_id = ran.begun(db, [1, 2, 3], now=now)
        ran.ended(db, run_id, 1, "failed", now=now)
    client = place.signed_in("technician")

    page = text(client, f"/runs/{run_id}?standing=failed")
    table = page[page.index("Show all") :]

    assert "guichet-1" in table
    assert "guichet-2" not in table
    assert client.get(f"/runs/{run_id}?standing=upset").status_code == 422


def test_many_devices_come_in_pages(place: Site):
    with writing(place.engine) as db:
        for number in range(100, 305):
            places.device(db, number, "berkane-1", now=place.clock.now())
        run_id = ran.queued(db, list(range(100, 305)), now=place.clock.now())
    client = place.signed_in("technician")

    first = client.get(f"/runs/{run_id}?standing=waiting").text
    more = re.search(r'href="(/runs/\d+\?standing=waiting&amp;after=[^"#]+)', first)
    assert more is not None
    rest = client.get(more[1].replace("&amp;", "&")).text

    assert first.count('<tr id="h-') == 200
    assert rest.count('<tr id="h-') == 5
    assert "Not all devices are shown" in text(client, f"/runs/{run_id}")


def test_a_dry_run_groups_what_changes_alike(place: Site):
    with writing(place.engine) as db:
        run_id = ran.dry(db, now=place.clock.now(), same=[1, 2, 3], other=[4], still=[5, 6])
    client = place.signed_in("technician")

    html = client.get(f"/runs/{run_id}").text
    page = spaced(html)

    assert "The same change on 3 devices Other changes on 1 device Nothing to change on 2 devices" in page
    assert "3 devices 1 task +1 −1" in page
    assert "<del>-MaxJobs 500</del>" in html
    assert "<ins>+MaxJobs 200</ins>" in html
    assert '<pre dir="ltr">' in html
    assert "Nobody can tell beforehand what these tasks do Restart CUPS" in page
    assert html.index('id="group-1"') < html.index('id="group-2"')


def test_a_dry_run_that_would_change_nothing_says_so(place: Site):
    with writing(place.engine) as db:
        run_id = ran.dry(db, now=place.clock.now(), same=[], still=[1])

    assert "Nothing: every device" in text(place.signed_in("technician"), f"/runs/{run_id}")


def test_task_by_task_on_one_device(place: Site):
    with writing(place.engine) as db:
        run_id = ran.dry(db, now=place.clock.now(), same=[1])
    client = place.signed_in("technician")

    page = text(client, f"/runs/{run_id}/devices/{device_id(1)}")

    assert "unchanged Read what is there" in page
    assert "changed Put the settings of CUPS in place" in page
    assert "+MaxJobs 200" in page
    assert client.get(f"/runs/{run_id}/devices/{device_id(2)}").status_code == 404


def test_a_run_is_cancelled_after_a_question(place: Site):
    with writing(place.engine) as db:
        run_id = ran.begun(db, [1], now=place.clock.now())
    client = place.signed_in("technician", name="amina")
    assert "Yes, cancel it" in client.get(f"/runs/{run_id}").text

    answer = client.post(f"/runs/{run_id}/cancel")

    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run_id}")
    page = client.get(f"/runs/{run_id}").text
    assert "Is being cancelled" in page
    assert "Yes, cancel it" not in page
    with reading(place.engine) as db:
        assert [(e.act, e.actor, e.subject) for e in audit.entries(db, WHOLE)] == [
            ("run.cancel", "amina", f"run:{run_id}")
        ]
        assert runs.find(db, WHOLE, run_id).cancelled_by == "amina"


def test_a_run_beyond_ones_annexes_is_seen_in_part_and_not_cancelled(place: Site):
    with writing(place.engine) as db:
        both = ran.begun(db, [1, 7], now=place.clock.now())
        elsewhere = ran.queued(db, [8], now=place.clock.now())
    client = place.signed_in("technician", annex="berkane-1")

    page = client.get(f"/runs/{both}").text

    assert "guichet-1" in page
    assert "guichet-7" not in page
    assert "Done: 0 of 1" in page
    assert "Yes, cancel it" not in page
    assert client.post(f"/runs/{both}/cancel").status_code == 403
    assert client.get(f"/runs/{elsewhere}").status_code == 404
    assert "#2" not in client.get("/runs").text


def test_the_page_of_a_device_tells_what_was_run_on_it(place: Site):
    client = place.signed_in("technician")
    assert "Nothing has been run on this device yet." in text(client, f"/devices/{device_id(1)}")
    with writing(place.engine) as db:
        run_id = ran.begun(db, [1], now=place.clock.now())
        ran.ended(db, run_id, 1, "failed", now=place.clock.now(), message="no space")

    assert "failed Printers no space #1 , tech" in text(client, f"/devices/{device_id(1)}")
    assert "Ansible runs" not in text(place.signed_in("staff"), f"/devices/{device_id(1)}")


def test_in_every_language(place: Site):
    now = place.clock.now()
    with writing(place.engine) as db:
        dry = ran.dry(db, now=now, same=[1, 2], other=[3], still=[4])
        run_id = ran.begun(db, [1, 2, 3, 4, 5, 6], now=now, playbook="system_updates")
        for number, outcome in enumerate(("ok", "failed", "unreachable", "unknown", "skipped"), 1):
            ran.ended(db, run_id, number, outcome, now=now)
        run_queue.finish(db, run_id, 1, outcome="failed", problem="relay_down", rest="cancelled", now=now)
    client = place.signed_in("technician")
    for code in LANGUAGES:
        client.post("/language", data={"code": code})
        for path in ("/runs", f"/runs/{dry}", f"/runs/{run_id}", f"/runs/{run_id}/devices/{device_id(2)}"):
            page = client.get(path)

            assert page.status_code == 200
            assert not re.search(r"relay_down|system_updates|timed_out", Parsed(page.text).text)


@pytest.mark.parametrize("word", POLYGLOTS)
def test_whatever_a_device_or_a_playbook_says_is_text_and_nothing_else(place: Site, word: str):
    now = place.clock.now()
    with writing(place.engine) as db:
        run_id = ran.begun(db, [1, 2], now=now, playbook=word[:80], reason=word[:200], variables={word[:60]: word})
        ran.ended(db, run_id, 1, "changed", now=now, diff=f"--- x\n@@\n+{word}\n-{word}\n {word}", message=word)
        result = Result(device_number=2, task_number=1, state="failed", message=word)
        run_results.write(db, run_id, Batch(results=[result]), now=now)
        ran.at_work(db, run_id, 2, now=now)
    client = place.signed_in("technician")

    for path in ("/runs", f"/runs/{run_id}", f"/runs/{run_id}/devices/{device_id(1)}", f"/devices/{device_id(1)}"):
        page = client.get(path)

        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text


def test_the_lines_of_a_difference():
    found = diffs.diff("t", "--- /etc/x\n@@ -1,2 +1,2 @@\n same\n--- was a comment\n+new\n-old")

    assert [line.kind for line in found.lines] == ["place", "place", "same", "removed", "added", "removed"]
    assert (found.added, found.removed, found.left_out) == (1, 2, 0)


def test_a_long_difference_is_cut():
    found = diffs.diff("t", "\n".join(["+x"] * (diffs.SHOWN_AT_MOST + 7)))

    assert (len(found.lines), found.left_out, found.added) == (diffs.SHOWN_AT_MOST, 7, diffs.SHOWN_AT_MOST + 7)


def test_a_run_begun_anew_and_its_length(place: Site):
    now = place.clock.now()
    with writing(place.engine) as db:
        run_id = ran.begun(db, [1], now=now)
        run_queue.take_over(db, run_queue.running(db)[0], now=now)
    place.clock.turn(seconds=90)

    page = text(place.signed_in("technician"), f"/runs/{run_id}")

    assert "Lasts for 1 min" in page
    assert "Begun anew 1 time" in page
