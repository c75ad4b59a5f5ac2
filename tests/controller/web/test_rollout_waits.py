"""The page of a rollout says of each device that waits what it waits for."""

import msgspec
import pytest
from tests.controller.site import Site
from tests.controller.web import rolled
from tests.controller.web.test_rollouts import place, running, text  # noqa: F401  # place is a fixture

from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.rollouts import RolloutRow
from annexfleet_controller.waves.model import GateReason, GateVerdict


def held(site: Site, rollout_id: int, why: dict[str, list[int]]) -> None:
    with writing(site.engine) as db:
        db.get_one(RolloutRow, rollout_id).held = msgspec.json.encode(why).decode()


@pytest.mark.parametrize(
    ("code", "said"),
    [("people_waiting", "people are waiting"), ("ailing", "another device of this rollout is failing at this moment")],
)
def test_what_a_device_waits_for_stands_beside_it(place: Site, code: str, said: str):  # noqa: F811
    rollout_id = running(place)
    held(place, rollout_id, {code: [1], "offline": [2]})

    client = place.signed_in("technician")

    page = client.get(f"/rollouts/{rollout_id}").text
    assert page.count(said) == 3  # the square, what is read of it aloud, and the row
    with writing(place.engine) as db:
        db.get_one(RolloutRow, rollout_id).state = "paused"
    assert said not in client.get(f"/rollouts/{rollout_id}").text


def test_an_old_stop_and_an_old_wait_do_not_stand_as_the_word_of_now(place: Site):  # noqa: F811
    rollout_id = running(place)
    now = place.clock.now()
    with writing(place.engine) as db:
        rolled.stopped(db, rollout_id, now=now)
    client = place.signed_in("technician")
    assert 'class="mark gate-stop"' in client.get(f"/rollouts/{rollout_id}").text
    with writing(place.engine) as db:
        rolled.turned(db, rollout_id, "running", "resumed", now=now, actor="amina", accepted_at=now)
    page = client.get(f"/rollouts/{rollout_id}").text
    assert 'class="mark gate-stop"' not in page
    assert "a person let it go on" in page

    wait = GateVerdict(word="wait", reasons=(GateReason("soaking", {"until": now.isoformat()}),), at=now)
    with writing(place.engine) as db:
        rolled.judged(db, rollout_id, wait, now=now)
    assert 'class="mark gate-wait"' in client.get(f"/rollouts/{rollout_id}").text
    with writing(place.engine) as db:
        rolled.turned(db, rollout_id, "aborted", "aborted", now=now, actor="amina")
    page = client.get(f"/rollouts/{rollout_id}").text
    assert 'class="mark gate-wait"' not in page
    assert "nothing is judged any more" in page


def test_what_was_not_reached_is_told_as_that_and_can_be_tried_again(place: Site):  # noqa: F811
    rollout_id = running(place)
    states = {1: "succeeded", 2: "succeeded", 3: "succeeded", 4: "unknown", 7: "unknown"}
    with writing(place.engine) as db:
        digest = db.get_one(RolloutRow, rollout_id).targets_digest
        rolled.stand(db, rollout_id, states, now=place.clock.now(), reasons={4: "deadline", 7: "deadline"})
        rolled.turned(db, rollout_id, "done", "done", now=place.clock.now(), state_reason="deadline")
    page = place.signed_in("technician", name="amina").get(f"/rollouts/{rollout_id}").text
    assert "The deadline came before every device was reached" in page
    assert "2 not reached until the deadline" in page
    assert "ended badly</span>" not in page
    assert f'action="/rollouts/{rollout_id}/retry"' in page
    # What a second person said yes to is shown.
    assert digest[:16] in page
