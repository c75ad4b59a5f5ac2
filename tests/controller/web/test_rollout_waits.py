"""The page of a rollout says of each device that waits what it waits for."""

import msgspec
import pytest
from tests.controller.site import Site
from tests.controller.web.test_rollouts import place, running, text  # noqa: F401  # place is a fixture

from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.rollouts import RolloutRow


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
