"""What is asked of the print server for a stopped queue, what is remembered of it, and what goes wrong with both."""

import getpass
import json
import time

import pytest
from tests.agent.printers.serving import http, serving

from annexfleet_agent.printers import healer, ipp, merge, spooler
from annexfleet_agent.printers.address import of_uri
from annexfleet_agent.printers.failure import Failed
from annexfleet_agent.printers.heal import Attempt, Course, Sight, Trial
from annexfleet_agent.printers.ipp import Attribute
from annexfleet_agent.printers.seen import Seen
from annexfleet_agent.printers.spooler import Jobs, Queue
from annexfleet_agent.printers.transport import Endpoint

SAID = "The printer is not responding."
FAILED = Trial(7, 100, 200)
RUNNING = Sight(stopped=False, told="told", state="idle")


class TurnedClock:
    """Both clocks of a device; a network timeout takes no time."""

    def __init__(self):
        self.t = 10_000.0

    def now(self):
        return self.t

    def mono(self):
        return self.t


class Server:
    """A print server that is asked to resume, and says which documents are done."""

    def __init__(self, status=0, done=()):
        self.status = status
        self.done = list(done)
        self.resumed = []
        self.asked_for_done = 0

    def __call__(self, body):
        asked = ipp.parse(body)
        if asked.status == ipp.RESUME_PRINTER:
            self.resumed.append(asked.groups[0].attributes["printer-uri"][0])
            return self.status if isinstance(self.status, list) else [http(answer(self.status))]
        self.asked_for_done += 1
        jobs = [
            (ipp.JOB, [Attribute("job-state", ipp.ENUM, [state]), Attribute("time-at-completed", ipp.INTEGER, [at])])
            for state, at in self.done
        ]
        return [http(answer(0, *jobs))]


def answer(status, *groups):
    return ipp.encode((2, 0), status, 1, [(ipp.OPERATION, []), *groups])


class Agent:
    """A healer over passes of half a minute."""

    def __init__(self, server, state_dir, *, acts=True, clock=None):
        self.clock = clock or TurnedClock()
        endpoint = Endpoint("127.0.0.1", server.port)
        self.healer = healer.Healer(endpoint, self.clock, timeout_s=0.5, state_dir=state_dir, acts=acts)

    def sees(self, **queues):
        began = self.clock.t
        self.clock.t += 30
        return self.healer.heal(queues, began=began, server_now=5000.0)


def stopped(agent, *causes, trial=FAILED):
    """A queue that this document stopped, before a printer that now has these causes."""
    return Sight(
        stopped=True, said=SAID, documents=frozenset({trial.document}), trials=((trial, SAID),), told="told",
        told_at=agent.clock.t + 1, state="idle", causes=frozenset(causes),
    )  # fmt: skip


def until_well(agent, **trial):
    """The verdict of the third pass: paper was missing, and is there."""
    agent.sees(front=stopped(agent, "paper_empty", **trial))
    agent.sees(front=stopped(agent, **trial))
    return agent.sees(front=stopped(agent, **trial))["front"]


def told(verdict):
    return verdict.outcome, verdict.reason


def test_a_queue_is_resumed_by_its_own_name(tmp_path):
    says = Server()
    with serving(says) as server:
        agent = Agent(server, tmp_path)
        sights = {"guichet été": stopped(agent, "paper_empty")}
        agent.sees(**sights)
        for _ in range(2):
            verdict = agent.sees(**{"guichet été": stopped(agent)})["guichet été"]

    assert told(verdict) == ("resumed", "cause_gone")
    assert says.resumed == ["ipp://localhost/printers/guichet%20%C3%A9t%C3%A9"]


def test_one_queue_is_resumed_in_a_pass(tmp_path):
    says = Server()
    with serving(says) as server:
        agent = Agent(server, tmp_path)
        agent.sees(front=stopped(agent, "paper_empty"), back=stopped(agent, "paper_empty"))
        agent.sees(front=stopped(agent), back=stopped(agent))
        verdicts = agent.sees(front=stopped(agent), back=stopped(agent))
        assert [verdict.outcome for verdict in verdicts.values()] == ["resumed", "waiting"]

        verdicts = agent.sees(front=RUNNING, back=stopped(agent))

    assert [verdict.outcome for verdict in verdicts.values()] == ["resumed", "resumed"]


@pytest.mark.parametrize("trouble", [0x0500, 0x0501, 0x0406, [], [b"<html>\r\n\r\n"]])
def test_what_the_server_did_not_do_counts_as_tried(tmp_path, trouble):
    says = Server(trouble)
    with serving(says) as server:
        agent = Agent(server, tmp_path)
        assert told(until_well(agent)) == ("waiting", "server_failed")
        assert told(agent.sees(front=stopped(agent))["front"]) == ("waiting", "server_failed")
        verdict = agent.sees(front=stopped(agent))["front"]

    assert (told(verdict), len(says.resumed)) == (("gave_up", "too_often"), 2)
    assert agent.healer.count("front") == 0


@pytest.mark.parametrize("refusal", [0x0401, 0x0403, [http(b"", "401 Unauthorized")], [http(b"", "403 Forbidden")]])
def test_a_refusal_is_no_attempt_and_stands_for_an_hour(tmp_path, refusal):
    says = Server(refusal)
    with serving(says) as server:
        agent = Agent(server, tmp_path)
        assert told(until_well(agent)) == ("refused", "server_denied")
        assert told(agent.sees(front=stopped(agent))["front"]) == ("refused", "server_denied")
        assert len(says.resumed) == 1
        says.status = 0
        agent.clock.t += 3600

        assert told(agent.sees(front=stopped(agent))["front"]) == ("resumed", "cause_gone")


def test_an_attempt_is_on_disk_before_the_server_hears_of_it(tmp_path):
    on_disk = []

    def says(body):
        if ipp.parse(body).status == ipp.RESUME_PRINTER:
            on_disk.append(json.loads((tmp_path / healer.FILE).read_bytes())["front"]["attempts"])
        return [http(answer(0))]

    with serving(says) as server:
        until_well(Agent(server, tmp_path))

    assert on_disk == [[{"at": 10_090.0, "server_at": 5000.0, "causes": ["paper_empty"]}]]


def test_what_was_tried_is_known_after_a_restart(tmp_path):
    with serving(Server()) as server:
        for number in (1, 2):
            agent = Agent(server, tmp_path)
            assert told(until_well(agent, trial=Trial(number, 100, 100 + number))) == ("resumed", "cause_gone")
        agent = Agent(server, tmp_path)
        assert told(until_well(agent, trial=Trial(3, 100, 103))) == ("gave_up", "too_often")

    assert agent.healer.count("front") == 2


@pytest.mark.parametrize(
    ("done", "left"),
    [([(9, 5001)], 0), ([(7, 5001), (9, 5002)], 0), ([(9, 4999)], 1), ([(7, 5001)], 1), ([(8, 5001)], 1), ([], 1)],
)
def test_only_a_document_that_came_out_ends_a_cause(tmp_path, done, left):
    with serving(Server(done=done)) as server:
        agent = Agent(server, tmp_path)
        until_well(agent)
        agent.sees(front=RUNNING)

    assert len(agent.healer._courses["front"].attempts) == left


def test_whether_one_came_out_is_asked_only_when_one_has_left(tmp_path):
    says = Server()
    with serving(says) as server:
        agent = Agent(server, tmp_path)
        until_well(agent)
        for _ in range(3):
            agent.sees(front=Sight(stopped=False, documents=frozenset({FAILED.document})))
        assert says.asked_for_done == 0
        for _ in range(3):
            agent.sees(front=RUNNING)

    assert says.asked_for_done == 1


def test_a_memory_that_is_damaged_is_begun_anew(tmp_path):
    (tmp_path / healer.FILE).write_bytes(b'{"front": 3}')

    with serving(Server()) as server:
        assert told(until_well(Agent(server, tmp_path))) == ("resumed", "cause_gone")


def test_a_memory_of_today_can_be_read_for_ever(tmp_path):
    (tmp_path / healer.FILE).write_text(
        '{"front":{"attempts":[{"at":9000.0,"server_at":4000.0,"causes":["paper_empty"]}],"trials":[[7,100,200]],'
        '"last":{"at":9000.0,"server_at":4000.0,"causes":["paper_empty"]},"resumed_count":3,"of_tomorrow":1}}'
    )

    with serving(Server()) as server:
        agent = Agent(server, tmp_path)

    (attempt,) = [Attempt(9000.0, 4000.0, ["paper_empty"])]
    assert agent.healer._courses == {
        "front": Course(attempts=[attempt], trials=[FAILED], last=attempt, resumed_count=3)
    }


def test_queues_that_are_no_more_do_not_fill_the_memory(tmp_path):
    with serving(Server()) as server:
        agent = Agent(server, tmp_path)
        for number in range(300):
            agent.sees(**{f"queue{number}": stopped(agent)})

    assert len(agent.healer._courses) <= healer._MOST_QUEUES


def sight(answer=None, *, uri="ipp://10.0.0.5/ipp/print", elsewhere=False, **queue):
    memory = Seen(source="print_server", state="stopped", causes=["paper_jam", "queue_paused"])
    given = {"name": "front", "memory": memory, "paused": True, "jobs": Jobs(), **queue}
    printer = merge.Printer(name="front", where=of_uri(uri), queue=Queue(**given), answer=answer, elsewhere=elsewhere)
    return healer.sight_of(printer, told_at=50.0, now_mono=60.0)


IDLE = Seen(source="device_ipp", state="idle", causes=["toner_low"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"answer": IDLE}, ("told", 50.0, "idle", {"toner_low"})),
        ({"answer": Failed("timed_out")}, ("told", 60.0, "unreachable", {"unreachable"})),
        ({"answer": Failed("malformed")}, ("unknown", 0.0, "unknown", set())),
        ({"answer": Failed("stale")}, ("unknown", 0.0, "unknown", set())),
        ({"answer": None}, ("unknown", 0.0, "unknown", set())),
        ({"answer": None, "uri": "usb://HP/LaserJet"}, ("never", 0.0, "unknown", set())),
        ({"answer": IDLE, "elsewhere": True}, ("never", 0.0, "unknown", set())),
    ],
)
def test_only_the_printer_s_own_word_of_now_counts(given, expected):
    seen = sight(**given)

    assert (seen.told, seen.told_at, seen.state, seen.causes) == expected
    assert seen.remembered == {"paper_jam"}


def test_a_queue_whose_server_is_silent_is_not_judged():
    assert sight(IDLE, paused=None) is None


def test_hidden_documents_are_unknown():
    assert sight(IDLE, jobs=None).documents is None


def test_the_account_is_named_on_the_local_socket_alone(tmp_path):
    heads = []

    def says(body):
        return [http(answer(0))]

    path = tmp_path / "cups.sock"
    with serving(says, unix=path) as local, serving(says) as other:
        for server, endpoint in ((local, Endpoint(str(path))), (other, Endpoint("127.0.0.1", other.port))):
            spooler.resume(endpoint, "front", timeout_s=5, mono=time.monotonic)
            heads.append(server.heads[-1])

    assert f"\r\nAuthorization: PeerCred {getpass.getuser()}\r\n" in heads[0]
    assert "Authorization" not in heads[1]


def test_no_name_of_a_document_or_a_person_is_asked_for():
    with serving(lambda body: [http(answer(0))]) as server:
        endpoint = Endpoint("127.0.0.1", server.port)
        spooler.printed_since(endpoint, "front", 0, timeout_s=5, mono=time.monotonic)
        spooler.resume(endpoint, "front", timeout_s=5, mono=time.monotonic)

    done, resume = (ipp.parse(body).groups[0].attributes for body in server.requests)
    assert set(done["requested-attributes"]) == set(spooler.DONE_WANTED)
    assert set(resume) == {"attributes-charset", "attributes-natural-language", "printer-uri"}
    assert not [name for name in spooler.DONE_WANTED if "name" in name or "user" in name]
