"""A storm, and the road from an incident in the database to real receivers."""

from collections import Counter
from itertools import pairwise

from msgspec.structs import replace
from sqlalchemy import Engine
from tests.controller.notify.bureau import EVERYTHING, Bureau
from tests.controller.notify.office import mail_server, web_server
from tests.controller.notify.planning import incident

from annexfleet_controller.notify import book, channels
from annexfleet_controller.notify.send import Sender
from annexfleet_controller.store import alerts, incidents
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.things import Alert, Incident, Thing


def test_a_storm_of_5000_alerts_in_a_minute_stays_within_the_limits(engine: Engine):
    bureau = Bureau(engine, annex_count=20)
    for number in range(5):
        bureau.contact(f"person-{number}")
    bureau.contact("escalated", replace(EVERYTHING, level=1, after_s=600))

    # 5,000 alerts in a minute, which are 60 incidents of different causes: three of each annex.
    for second in range(60):
        with writing(engine) as db:
            new = bureau_incident(bureau, second)
            (stored,) = incidents.save(db, [new])
            alerts.save(db, [
                Alert(
                    rule_id="device.offline", thing=Thing("device", f"d-{second}-{number}"), annex_id=stored.annex_id,
                    state="open", since=bureau.now, evidence_at=bureau.now, opened_at=bureau.now,
                    incident_id=stored.id, is_effect=number > 0,
                )
                for number in range(5000 // 60 + 1)
            ])  # fmt: skip
        bureau.clock.turn(seconds=1)
        if second % 5 == 0:
            bureau.send()
    in_the_storm = Counter(to.address for to, _ in bureau.delivered)
    assert max(in_the_storm.values()) <= 4

    for _ in range(12):
        bureau.clock.turn(minutes=5)
        bureau.send()

    assert max(Counter(to.address for to, _ in bureau.delivered).values()) <= 12
    told: dict[tuple[int, int], list[object]] = {}
    with reading(engine) as db:
        for row in book.told(db, range(1, 61), now=bureau.now):
            for item in row.items:
                told.setdefault((row.contact_id, item.incident_id), []).append(row.ended_at)
    assert len(told) == 6 * 60, "everybody heard of every incident"
    for moments in told.values():
        assert all((later - sooner).total_seconds() >= 1800 for sooner, later in pairwise(moments))  # type: ignore[operator]


def bureau_incident(bureau: Bureau, second: int) -> Incident:
    made = incident(second + 1, at=bureau.now, annex_id=f"berkane-{second % 20 + 1}")
    return replace(made, id=0, kind="device", cause="device_offline")


def test_from_the_database_to_a_mailbox_a_telephone_a_chat_and_another_system(sqlite_engine: Engine):
    with mail_server() as post, web_server() as web:
        bureau = Bureau(
            sqlite_engine, mail_url=post.url, public_url="https://fleet.example.ma",
            sms_url=f"form://127.0.0.1:{web.port}/sms?:number={{number}}",
        )  # fmt: skip
        bureau.contact("amina", language="ar")
        bureau.contact("youssef", kind="sms", address="+212600000001")
        bureau.contact("team", kind="chat", address=f"mmost://127.0.0.1:{web.port}/3ccdd113474722377935511fc85d3dd4")
        bureau.contact("tickets", kind="webhook", address=f"{web.url}/hook", secret="shared")
        bureau.trouble(severity="critical")
        bureau.plan()

        sender = Sender(sqlite_engine, bureau.home.settings, clock=bureau.clock, deliver=channels.deliver)
        while sender.step():
            pass

        assert bureau.states() == ["sent"] * 4
        (mail,) = post.mails
        assert "الملحقة 1" in mail["Subject"]
        assert sorted(path for path, _, _ in web.got) == [
            "/hook", "/hooks/3ccdd113474722377935511fc85d3dd4", "/sms",
        ]  # fmt: skip
