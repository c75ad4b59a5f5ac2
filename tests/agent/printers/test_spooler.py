"""Queues and documents as a print server tells them, and what it is never asked."""

import time

import pytest
from tests.agent.printers.serving import http, serving, state

from annexfleet_agent.printers import ipp, spooler
from annexfleet_agent.printers.failure import Failed
from annexfleet_agent.printers.ipp import Attribute
from annexfleet_agent.printers.transport import Endpoint


def ask(server):
    return spooler.ask(Endpoint("127.0.0.1", server.port), timeout_s=5, now=lambda: 5000.0, mono=time.monotonic)


def cups(queues, jobs=(), *, job_status=0):
    """A print server with these queues and documents."""

    def answer(body):
        if ipp.parse(body).status == ipp.CUPS_GET_PRINTERS:
            return [http(ipp.encode((2, 0), 0, 1, [(ipp.OPERATION, []), *[(ipp.PRINTER, queue) for queue in queues]]))]
        return [http(ipp.encode((2, 0), job_status, 1, [(ipp.OPERATION, []), *[(ipp.JOB, job) for job in jobs]]))]

    return answer


def queue(name="front", number=3, *reasons, **more):
    return [
        Attribute("printer-name", ipp.NAME, [name]),
        Attribute("device-uri", ipp.URI, ["ipp://10.0.0.5/ipp/print"]),
        Attribute("printer-is-accepting-jobs", ipp.BOOLEAN, [more.get("accepting", True)]),
        Attribute("queued-job-count", ipp.INTEGER, [3]),
        Attribute("printer-up-time", ipp.INTEGER, [10_000]),
        *state(number, *reasons),
    ]


def job(number, to="front", *, created, begun=None, job_state=3, printed=0, reasons=("none",)):
    found = [
        Attribute("job-id", ipp.INTEGER, [number]),
        Attribute("job-state", ipp.ENUM, [job_state]),
        Attribute("job-state-reasons", ipp.KEYWORD, list(reasons)),
        Attribute("job-printer-uri", ipp.URI, [f"ipp://localhost/printers/{to}"]),
        Attribute("time-at-creation", ipp.INTEGER, [created]),
        Attribute("job-impressions-completed", ipp.INTEGER, [printed]),
    ]
    processing = ipp.NO_VALUE if begun is None else ipp.INTEGER
    return [*found, Attribute("time-at-processing", processing, [begun])]


def test_a_queue_is_told_with_its_documents():
    documents = [
        job(7, created=9_700, begun=9_950, job_state=5, printed=2),
        job(8, created=9_900),
        job(9, "back%20office", created=9_990),
    ]
    with serving(cups([queue(), queue("back office", 5, "paused", accepting=False)], documents)) as server:
        front, back = ask(server).queues

    assert (front.name, front.paused, front.accepting) == ("front", False, True)
    assert (front.jobs.count, front.jobs.oldest_age_s, front.jobs.quiet_s) == (2, 300, 50)
    assert (back.name, back.paused, back.accepting) == ("back office", True, False)
    assert (back.jobs.count, back.jobs.oldest_age_s, back.jobs.quiet_s) == (1, 10, 10)


def test_a_document_on_hold_does_not_wait():
    with serving(cups([queue()], [job(7, created=100, job_state=4)])) as server:
        (front,) = ask(server).queues

    assert (front.jobs.count, front.jobs.oldest_age_s) == (0, 0)


def test_progress_moves_with_pages_and_documents_but_not_with_arrivals():
    first = job(7, created=9_700, printed=2)
    progress = [
        spooler.by_queue([dict_of(one) for one in jobs], 10_000)["front"].progress
        for jobs in (
            [first],
            [first, job(8, created=9_900)],
            [job(7, created=9_700, printed=3)],
            [job(8, created=9_900)],
        )
    ]

    assert progress[0] == progress[1]
    assert len({progress[0], progress[2], progress[3]}) == 3


def dict_of(attributes):
    return {attribute.name: list(attribute.values) for attribute in attributes}


def test_a_server_that_hides_its_documents_still_tells_their_number():
    with serving(cups([queue()], job_status=0x0403)) as server:
        spool = ask(server)

    assert spool.queues[0].jobs.count == 3
    assert spool.jobs_failed.code == "denied"


def test_no_queue_is_no_failure():
    with serving(lambda body: [http(ipp.encode((2, 0), 0x0406, 1, [(ipp.OPERATION, [])]))]) as server:
        assert ask(server) == spooler.Spool()


@pytest.mark.parametrize(("status", "code"), [(0x0403, "denied"), (0x0500, "failed")])
def test_a_server_that_refuses_fails(status, code):
    with serving(lambda body: [http(ipp.encode((2, 0), status, 1, []))]) as server, pytest.raises(Failed) as failed:
        ask(server)

    assert failed.value.code == code


def test_no_name_of_a_document_or_a_person_is_ever_asked_for():
    with serving(cups([queue()], [job(7, created=9_000)])) as server:
        ask(server)

    requests = [ipp.parse(body).groups[0].attributes for body in server.requests]
    assert len(requests) == 2
    for attributes in requests:
        # All that is wanted is written out: without such a list a server sends everything it has.
        wanted = set(attributes["requested-attributes"])
        assert wanted <= {*spooler._QUEUE_WANTED, *spooler.JOB_WANTED}
        assert not {"all", "job-template", "job-description", "job-name", "job-originating-user-name"} & wanted
        assert "requesting-user-name" not in attributes
    assert not [name for name in spooler.JOB_WANTED if "name" in name or "user" in name or "document" in name]
