"""When a stopped queue may go on, by table: whose stop it was, what the printer says, what was tried before."""

import msgspec
import pytest

from annexfleet_agent.printers import heal
from annexfleet_agent.printers.heal import Attempt, Course, Sight, Trial, Watch
from annexfleet_agent.protocol import metrics

NOW = 1_795_400_000.0
SAID = "The printer is not responding."
FAILED = Trial(7, 100, 200)
AGAIN = Trial(7, 100, 300)
OTHER = Trial(8, 150, 400)
OFF = {"told": "told", "state": "unreachable", "causes": frozenset({"unreachable"})}
WELL = {"told": "told", "state": "idle", "causes": frozenset()}


def stopped(*trials, said=SAID, told_at=0.0, **more):
    """A queue that these documents stopped."""
    trials = trials or (FAILED,)
    given = {
        "said": said,
        "documents": frozenset(trial.document for trial in trials),
        "trials": tuple((trial, SAID) for trial in trials),
        **OFF,
        **more,
    }
    return Sight(stopped=True, told_at=told_at, **given)


RUNNING = Sight(stopped=False, **WELL)


def printing(*trials):
    return msgspec.structs.replace(RUNNING, documents=frozenset(trial.document for trial in trials))


class Queue:
    """A queue over some passes 30 s apart, with nobody but the decider to look at it."""

    def __init__(self, course=None):
        self.mono = 1000.0
        self.watch = Watch()
        self.course = course or Course()

    def sees(self, sight, *, denied=False):
        """The verdict of the next pass."""
        self.mono += 30
        if sight.told == "told":
            sight = msgspec.structs.replace(sight, told_at=self.mono + 1)
        self.watch = heal.looked(self.watch, sight, began=self.mono)
        self.course = heal.noted(self.course, sight, now=NOW)
        return heal.decided(self.course, self.watch, sight, denied=denied, now=NOW)

    def outcomes(self, *sights):
        return [(verdict.outcome, verdict.reason) for verdict in map(self.sees, sights)]


def test_a_queue_goes_on_after_two_readings_without_the_cause():
    queue = Queue()

    assert queue.outcomes(RUNNING, stopped(), stopped(**WELL)) == [
        ("none", "none"),
        ("waiting", "cause_present"),
        ("waiting", "settling"),
    ]
    verdict = queue.sees(stopped(**WELL))
    assert (verdict.resume, verdict.causes) == (True, {"unreachable"})


def test_the_same_reading_twice_is_one_reading():
    queue = Queue()
    queue.sees(stopped())
    once = stopped(**WELL, told_at=2000.0)

    for _ in range(3):
        queue.watch = heal.looked(queue.watch, once, began=2030.0)

    assert queue.watch.clear_at == (2000.0,)


def test_a_reading_of_before_the_stop_says_nothing():
    watch = heal.looked(Watch(), stopped(**WELL, told_at=999.0), began=1000.0)

    assert watch.clear_at == ()


def test_a_cause_that_comes_back_is_waited_for_anew():
    queue = Queue()

    outcomes = queue.outcomes(
        stopped(), stopped(**WELL), stopped(**(WELL | {"causes": frozenset({"cover_open"})})), stopped(**WELL)
    )

    assert outcomes[-2:] == [("waiting", "cause_present"), ("waiting", "settling")]
    assert queue.sees(stopped(**WELL)).causes == {"unreachable", "cover_open"}


@pytest.mark.parametrize(
    ("sight", "expected"),
    [
        # -- who stopped it
        ({"said": "Paused"}, ("left_alone", "by_hand")),
        ({"said": "Paused", "trials": ()}, ("left_alone", "by_hand")),
        ({"accepting": False}, ("left_alone", "by_hand")),
        ({"said": "paper change"}, ("left_alone", "unclear")),
        ({"trials": ()}, ("left_alone", "unclear")),
        ({"said": "", "trials": ((FAILED, ""),)}, ("left_alone", "unclear")),
        ({"said": "", "trials": ((FAILED, SAID),)}, ("left_alone", "unclear")),
        # -- what is not known
        ({"documents": None}, ("gave_up", "documents_unknown")),
        ({"told": "never"}, ("gave_up", "printer_unknown")),
        ({"told": "unknown"}, ("waiting", "printer_unknown")),
        ({"state": "unknown", "causes": frozenset()}, ("waiting", "printer_unknown")),
        ({"causes": frozenset()}, ("gave_up", "cause_unknown")),
        # -- what is not over
        ({"state": "stopped"}, ("waiting", "cause_present")),
        ({"causes": frozenset({"paper_empty"})}, ("waiting", "cause_present")),
        ({"causes": frozenset({"paper_jam", "toner_low"})}, ("waiting", "cause_present")),
        # -- what does not matter
        ({"causes": frozenset({"toner_low"}), "remembered": frozenset({"paper_jam"})}, ("waiting", "cause_gone")),
        ({"state": "processing", "remembered": frozenset({"paper_jam"})}, ("waiting", "cause_gone")),
    ],
)
def test_one_fact_decides(sight, expected):
    queue = Queue()
    sight = stopped(**(WELL | sight))

    for _ in range(3):
        verdict = queue.sees(sight)

    assert (verdict.outcome, verdict.reason) == expected
    assert verdict.resume == (expected[1] == "cause_gone")


def test_a_pause_after_a_failure_is_somebody_s_and_stays_so():
    queue = Queue()
    outcomes = queue.outcomes(stopped(), stopped(said="mine"), stopped(**WELL), stopped(**WELL), stopped(**WELL))

    assert outcomes[0] == ("waiting", "cause_present")
    assert set(outcomes[1:]) == {("left_alone", "by_hand")}


def test_a_queue_whose_failed_document_was_withdrawn_goes_on_for_the_others():
    queue = Queue()
    queue.sees(stopped())
    without = stopped(**WELL, trials=(), documents=frozenset({(9, 500)}))

    queue.sees(without)

    assert queue.sees(without).resume


def test_what_troubled_the_printer_shortly_before_the_stop_is_a_cause():
    queue = Queue()
    jammed = msgspec.structs.replace(RUNNING, causes=frozenset({"paper_jam"}))

    queue.outcomes(jammed, RUNNING, stopped(**WELL))

    assert queue.sees(stopped(**WELL)).causes == {"paper_jam"}


def test_what_troubled_it_long_before_is_none():
    queue = Queue()
    queue.sees(msgspec.structs.replace(RUNNING, causes=frozenset({"paper_jam"})))
    queue.mono += heal.RECENT_S

    queue.outcomes(RUNNING, stopped(**WELL), stopped(**WELL))

    assert queue.sees(stopped(**WELL)).reason == "cause_unknown"


def test_other_paper_for_this_document_is_waited_for_though_the_printer_is_idle():
    queue = Queue()
    wants = stopped(**(WELL | {"causes": frozenset({"paper_wrong"}), "remembered": frozenset({"paper_wrong"})}))

    assert queue.outcomes(wants, wants, wants)[-1] == ("waiting", "cause_present")


def test_a_document_that_failed_twice_keeps_the_queue_stopped_until_it_is_gone():
    queue = Queue()
    queue.outcomes(stopped(), printing(FAILED), stopped(AGAIN))

    assert queue.outcomes(stopped(AGAIN, **WELL), stopped(AGAIN, **WELL))[-1] == ("gave_up", "same_document")
    assert queue.course.trials == [FAILED, AGAIN]

    without = stopped(**WELL, trials=(), documents=frozenset({(9, 500)}))
    assert queue.sees(without).resume
    assert queue.course.trials == []


def test_a_document_on_hold_stops_nobody_but_is_remembered():
    queue = Queue()
    held = {"trials": (), "documents": frozenset({(9, 500)}), "held": frozenset({FAILED.document})}
    queue.outcomes(stopped(), printing(FAILED), stopped(AGAIN))

    assert queue.outcomes(stopped(**WELL, **held), stopped(**WELL, **held))[-1] == ("waiting", "cause_gone")
    released = {"trials": (), "documents": frozenset({FAILED.document})}
    assert queue.sees(stopped(**WELL, **released)).reason == "same_document"


def test_a_number_that_begins_anew_is_another_document():
    queue = Queue()
    queue.outcomes(stopped(), RUNNING)
    queue.sees(stopped(Trial(7, 900, 950)))

    assert queue.outcomes(stopped(Trial(7, 900, 950), **WELL), stopped(Trial(7, 900, 950), **WELL))[-1] == (
        "waiting",
        "cause_gone",
    )


def test_a_stop_between_two_passes_is_another_stop():
    queue = Queue()
    queue.outcomes(stopped(), stopped(**WELL), stopped(**WELL))

    verdict = queue.sees(stopped(OTHER, **WELL))

    assert (verdict.reason, verdict.causes) == ("settling", set())
    assert len(queue.watch.clear_at) == 1


def attempts(*causes, age_s=60.0):
    return [Attempt(NOW - age_s, 0.0, list(of)) for of in causes]


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        (attempts(["unreachable"]), "cause_gone"),
        (attempts(["unreachable"], ["unreachable"]), "too_often"),
        (attempts(["unreachable"], ["unreachable", "paper_jam"]), "too_often"),
        (attempts(["paper_jam"], ["paper_jam"]), "cause_gone"),
        (attempts(["unreachable"], ["paper_jam"]), "cause_gone"),
        (attempts(["unreachable"], ["unreachable"], age_s=heal.CAUSE_LASTS_S + 1), "cause_gone"),
        # The device's clock was set back: nobody knows how long ago these were.
        (attempts(["unreachable"], ["unreachable"], age_s=-1e6), "too_often"),
    ],
)
def test_at_most_twice_for_one_cause(tried, expected):
    queue = Queue(Course(attempts=tried))

    assert queue.outcomes(stopped(), stopped(**WELL), stopped(**WELL))[-1][1] == expected


def test_a_server_that_refused_lately_is_not_asked():
    queue = Queue()
    queue.outcomes(stopped(), stopped(**WELL))

    verdict = queue.sees(stopped(**WELL), denied=True)

    assert (verdict.outcome, verdict.reason, verdict.resume) == ("refused", "server_denied", False)


@pytest.mark.parametrize(("age_s", "outcome"), [(0, "resumed"), (heal.SHOWN_S, "resumed"), (heal.SHOWN_S + 1, "none")])
def test_a_resumption_is_told_for_a_quarter_of_an_hour(age_s, outcome):
    (last,) = attempts(["unreachable"], age_s=age_s)

    assert Queue(Course(last=last)).sees(RUNNING).outcome == outcome


@pytest.mark.parametrize(
    ("metric", "words"), [("printer_heal_outcome", heal.Outcome), ("printer_heal_reason", heal.Reason)]
)
def test_the_catalogue_has_all_the_words(metric, words):
    assert set(metrics.CATALOGUE[metric].words) == set(words.__args__)
