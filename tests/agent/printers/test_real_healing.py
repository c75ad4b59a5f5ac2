"""Stopped queues over a real print server and real (if paperless) printers: which go on, and which are left alone."""

import contextlib
import getpass
import time

import msgspec
import pytest
from tests.agent.printing import eventually, free_port, place

from annexfleet_agent import printers
from annexfleet_agent.printers import healer, spooler
from annexfleet_agent.printers.transport import Endpoint
from annexfleet_agent.settings import Settings

STOPS = "printer-error-policy=stop-printer"
IMPATIENT = "?contimeout=1"
"""The ipp backend gives a printer that does not answer up after a second, not after a week."""
RESUME_ONLY = "<Limit Resume-Printer>\nAuthType Basic\nRequire user {}\nOrder deny,allow\n</Limit>"

_COUNT = iter(range(1000))


class HastyClock:
    """The machine's clocks, and the time that a test skips."""

    def __init__(self):
        self.skipped_s = 0.0

    def now(self):
        return time.time() + self.skipped_s

    def mono(self):
        return time.monotonic() + self.skipped_s


class Agent:
    """A running agent's collector; half a minute goes by before each pass."""

    def __init__(self, office, state_dir, *more, heals=True, **printing):
        given = {
            "agent": {"state_dir": str(state_dir)},
            "printing": {"cups": office.socket, **printing},
            "printer": list(more),
        }
        self.clock = HastyClock()
        self.collector = printers.collector(msgspec.convert(given, Settings), self.clock, heals=heals)

    def sees(self, printer):
        self.clock.skipped_s += 31
        return self.collector.collect().readings[f"printer:{printer.name}"]

    def tells(self, printer, outcome, reason):
        """The readings, as soon as they are as wanted."""

        def ask():
            told = self.sees(printer)
            return (
                told if (told["printer_heal_outcome"], told.get("printer_heal_reason")) == (outcome, reason) else None
            )

        return eventually(ask)

    def leaves_alone(self, printer, reason, outcome="left_alone"):
        for _ in range(4):
            told = self.sees(printer)
            assert (told["printer_heal_outcome"], told["printer_heal_reason"]) == (outcome, reason)
            assert told["printer_paused"] == 1
        return told


@pytest.fixture(scope="module")
def office():
    with place() as made:
        yield made


@pytest.fixture
def printer(office):
    """A printer with a queue of its name that stops at a failure."""
    with a_printer(office) as made:
        yield made


@contextlib.contextmanager
def a_printer(office, uri=None):
    made = office.printer(f"printer{next(_COUNT)}")
    office.queue(made.name, (uri or made.uri) + IMPATIENT, STOPS)
    yield made
    made.finish()
    office.run("cancel", "-a", made.name)
    office.run("lpadmin", "-x", made.name)
    made.switch_off()


def waits_until_stopped(agent, printer):
    eventually(lambda: agent.sees(printer)["printer_paused"] == 1)


def pause_in_the_middle(office, printer, *how):
    """Pause the queue while a document prints; the printer is free again when the print server has put that back."""
    office.run(*how, printer.name)

    def message():
        spool = spooler.ask(Endpoint(office.socket), timeout_s=5, now=time.time, mono=time.monotonic)
        return next(queue.said for queue in spool.queues if queue.name == printer.name)

    eventually(lambda: not message())  # the end of the backend wipes off what the pause had written
    printer.finish()


def printed(printer):
    """How many documents have come out."""
    return len(list((printer.home / "spool").glob("*.prn")))


def test_a_queue_goes_on_when_its_printer_is_well_again(office, printer, tmp_path):
    agent = Agent(office, tmp_path)
    assert agent.sees(printer)["printer_heal_outcome"] == "none"
    printer.switch_off()
    office.print(printer.name)

    agent.tells(printer, "waiting", "cause_present")
    printer.switch_on()
    printer.load_paper(0)
    for _ in range(4):  # on again, and no paper
        told = agent.sees(printer)
        assert (told["printer_heal_reason"], told["printer_paused"]) == ("cause_present", 1)
    printer.load_paper(100)

    assert agent.sees(printer)["printer_heal_reason"] == "settling"
    told = agent.sees(printer)
    assert (told["printer_heal_outcome"], told["printer_heal_reason"]) == ("resumed", "cause_gone")
    assert told["printer_heal_causes"] == ["paper_empty", "unreachable"]
    assert told["printer_heals_count"] == 1
    told = eventually(lambda: [of for of in [agent.sees(printer)] if of["printer_jobs_count"] == 0])[0]
    assert (told["printer_paused"], told["printer_causes"], told["printer_heal_outcome"]) == (0, [], "resumed")
    assert printed(printer) == 1


def test_after_a_document_has_come_out_the_same_cause_is_a_new_one(office, printer, tmp_path):
    agent = Agent(office, tmp_path)

    for number in (1, 2, 3):
        printer.switch_off()
        office.print(printer.name)
        agent.tells(printer, "waiting", "cause_present")
        printer.switch_on()
        assert agent.tells(printer, "resumed", "cause_gone")["printer_heals_count"] == number
        eventually(lambda: agent.sees(printer)["printer_jobs_count"] == 0)


def test_a_document_that_fails_twice_and_a_cause_that_comes_a_third_time(office, tmp_path):
    # The queue leads nowhere; the printer that the agent asks is another one, which is off and on.
    with a_printer(office, f"ipp://localhost:{free_port()}/ipp/print") as printer:
        asked = {"name": printer.name, "uri": printer.uri}
        agent = Agent(office, tmp_path, asked)

        def off_and_on(agent):
            printer.switch_off()
            agent.tells(printer, "waiting", "cause_present")
            printer.switch_on()

        printer.switch_off()
        office.print(printer.name)
        waits_until_stopped(agent, printer)
        printer.switch_on()
        assert agent.tells(printer, "resumed", "cause_gone")["printer_heals_count"] == 1

        agent.tells(printer, "gave_up", "same_document")
        told = agent.leaves_alone(printer, "same_document", "gave_up")
        assert (told["printer_jobs_count"], told["printer_heals_count"]) == (1, 1)
        agent = Agent(office, tmp_path, asked)  # it is started anew, and has not forgotten
        agent.leaves_alone(printer, "same_document", "gave_up")

        # Somebody withdraws the document: one that never failed may be tried when the cause is gone a second time.
        office.print(printer.name)
        eventually(lambda: agent.sees(printer)["printer_jobs_count"] == 2)
        office.withdraw_oldest(printer.name)
        office.run("cupsenable", printer.name)
        waits_until_stopped(agent, printer)
        off_and_on(agent)
        assert agent.tells(printer, "resumed", "cause_gone")["printer_heals_count"] == 2
        agent.tells(printer, "gave_up", "same_document")

        office.print(printer.name)
        eventually(lambda: agent.sees(printer)["printer_jobs_count"] == 2)
        office.withdraw_oldest(printer.name)
        office.run("cupsenable", printer.name)
        waits_until_stopped(agent, printer)
        printer.switch_off()
        agent.tells(printer, "gave_up", "too_often")
        printer.switch_on()
        told = agent.leaves_alone(printer, "too_often", "gave_up")
        assert (told["printer_jobs_count"], told["printer_heals_count"]) == (1, 2)


@pytest.mark.parametrize("how", [["cupsdisable"], ["cupsdisable", "-r", "paper change"]])
def test_who_pauses_a_queue_finds_it_paused(office, printer, tmp_path, how):
    agent = Agent(office, tmp_path)

    office.run(*how, printer.name)

    agent.leaves_alone(printer, "by_hand" if len(how) == 1 else "unclear")


@pytest.mark.parametrize("how", [["cupsdisable"], ["cupsdisable", "-r", "paper change"]])
def test_who_pauses_a_queue_in_the_middle_of_a_document_finds_it_paused(office, printer, tmp_path, how):
    agent = Agent(office, tmp_path)
    printer.while_printing("STATE: +media-jam-error")
    office.print(printer.name)
    eventually(lambda: agent.sees(printer)["printer_causes"] == ["paper_jam"])

    pause_in_the_middle(office, printer, *how)
    eventually(lambda: agent.sees(printer)["printer_state"] == "idle")

    for _ in range(4):
        told = agent.sees(printer)
        assert (told["printer_heal_outcome"], told["printer_paused"], told["printer_jobs_count"]) == (
            "left_alone",
            1,
            1,
        )


def test_who_pauses_a_queue_that_a_failure_stopped_finds_it_paused(office, printer, tmp_path):
    agent = Agent(office, tmp_path)
    printer.switch_off()
    office.print(printer.name)
    agent.tells(printer, "waiting", "cause_present")

    office.run("cupsdisable", "-r", "waits for the technician", printer.name)
    printer.switch_on()

    agent.leaves_alone(printer, "by_hand")


def test_a_pause_outlives_the_print_server_and_the_agent(office, printer, tmp_path):
    printer.while_printing("STATE: +media-jam-error")
    office.print(printer.name)
    eventually(lambda: Agent(office, tmp_path).sees(printer)["printer_causes"] == ["paper_jam"])
    pause_in_the_middle(office, printer, "cupsdisable", "-r", "paper change")
    office.restart_server()  # the document now has the reason of one that failed

    agent = Agent(office, tmp_path)
    eventually(lambda: agent.sees(printer)["printer_state"] == "idle")

    told = agent.leaves_alone(printer, "unclear")
    assert told["printer_jobs_count"] == 1


def test_a_failure_outlives_the_print_server_and_the_agent(office, printer, tmp_path):
    printer.switch_off()
    office.print(printer.name)
    waits_until_stopped(Agent(office, tmp_path), printer)
    office.restart_server()
    agent = Agent(office, tmp_path)
    agent.tells(printer, "waiting", "cause_present")

    printer.switch_on()

    agent.tells(printer, "resumed", "cause_gone")


def test_what_only_looks_resumes_nothing_and_writes_nothing(office, printer, tmp_path):
    looks = Agent(office, tmp_path, heals=False)
    printer.switch_off()
    office.print(printer.name)
    looks.tells(printer, "waiting", "cause_present")
    printer.switch_on()

    looks.tells(printer, "waiting", "cause_gone")
    looks.leaves_alone(printer, "cause_gone", "waiting")
    assert list(tmp_path.iterdir()) == []


def test_it_can_be_switched_off(office, printer, tmp_path):
    agent = Agent(office, tmp_path, heal=False)
    printer.switch_off()
    office.print(printer.name)
    waits_until_stopped(agent, printer)
    printer.switch_on()

    for _ in range(4):
        told = agent.sees(printer)
        assert (told["printer_heal_outcome"], told["printer_paused"]) == ("switched_off", 1)


def test_what_cannot_be_remembered_is_not_done(office, printer, tmp_path):
    agent = Agent(office, tmp_path / "missing")
    printer.switch_off()
    office.print(printer.name)
    agent.tells(printer, "waiting", "cause_present")
    printer.switch_on()

    agent.tells(printer, "gave_up", "not_recorded")
    agent.leaves_alone(printer, "not_recorded", "gave_up")


def test_the_agent_s_account_may_be_let_resume_and_nothing_else(tmp_path):
    with place(limits=RESUME_ONLY.format(getpass.getuser())) as office, a_printer(office) as printer:
        agent = Agent(office, tmp_path)
        printer.switch_off()
        office.print(printer.name)
        agent.tells(printer, "waiting", "cause_present")
        printer.switch_on()

        agent.tells(printer, "resumed", "cause_gone")
        eventually(lambda: agent.sees(printer)["printer_jobs_count"] == 0)


def test_a_print_server_that_refuses_is_told_and_not_asked_again_for_an_hour(tmp_path):
    with place(limits=RESUME_ONLY.format("somebody-else")) as office, a_printer(office) as printer:
        agent = Agent(office, tmp_path)
        printer.switch_off()
        office.print(printer.name)
        agent.tells(printer, "waiting", "cause_present")
        printer.switch_on()

        agent.tells(printer, "refused", "server_denied")
        told = agent.leaves_alone(printer, "server_denied", "refused")
        assert (told["printer_jobs_count"], told["printer_heals_count"]) == (1, 0)
        assert times_resumed(office) == 1
        agent.clock.skipped_s += healer._DENIED_FOR_S
        agent.sees(printer)
        assert times_resumed(office) == 2


def times_resumed(office):
    """How often somebody tried, by the print server's log."""
    return (office.home / "error_log").read_text().count("] Resume-Printer ipp://")
