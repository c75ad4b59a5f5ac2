"""What a conductor's turn costs with 50 rollouts open: processor time, for the machine has other work too."""

import statistics
import time
from pathlib import Path

import pytest
from msgspec import structs
from sqlalchemy import Engine
from tests.controller.rollouts.rolling import QUICK, Province

from annexfleet_controller.waves.model import Selector

pytestmark = pytest.mark.bench

ROLLOUTS, DEVICES, ANNEXES_EACH = 50, 40, 4
TURN_S = 1.0
POLICY = structs.replace(
    QUICK, canary_count=8, growth=2.0, most_at_once=8, soak_s=3600.0, canary_soak_s=3600.0, most_bad_count=100
)


def test_a_turn_with_50_rollouts_open(engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    province = Province(tmp_path, engine)
    for n in range(ROLLOUTS):
        # They configure different things, so that none takes another's place.
        province.playbook(f"shift{n}", NATURE.format(n=n))
    for n in range(ROLLOUTS):
        places = [f"annex-{n}-{m}" for m in range(ANNEXES_EACH)]
        for place in places:
            province.annex(place, DEVICES // ANNEXES_EACH)
        province.started(
            name=f"Number {n}", playbook=f"shift{n}", variables={f"shift{n}_version": "2.0"},
            selector=Selector(annexes=tuple(places)), policy=POLICY,
        )  # fmt: skip
    took: list[float] = []
    for turn in range(40):
        # Each device tells something once in five minutes: about one in 150 between two looks.
        province.pass_time(2.0, heard=False)
        beating = range(1 + turn % 150, province.count + 1, 150)
        province.hear(list(beating) if turn % 10 else list(range(1, province.count + 1)))
        began = time.process_time()
        province.conductor.turn()
        took.append(time.process_time() - began)
        if turn % 5 == 4:
            province.play()

    phases = {province.detail(id_).phase for id_ in province.conductor.held}
    usual = [seconds for turn, seconds in enumerate(took) if turn > 5 and turn % 10]
    with capsys.disabled():
        print(
            f"\n{engine.dialect.name}: {ROLLOUTS} rollouts of {DEVICES} devices: a turn takes "
            f"{statistics.median(usual):.2f} s, at most {max(usual):.2f} s; the first {took[0]:.2f} s, one in which "
            f"every device told something {max(took[10::10]):.2f} s; phases {sorted(phases)}"
        )
    assert len(province.conductor.held) == ROLLOUTS
    assert statistics.median(usual) < TURN_S


NATURE = """
configures: thing{n}
expects:
  - {{fact: agent_version, equals: {{variable: shift{n}_version}}}}
takes_s: 60
"""
