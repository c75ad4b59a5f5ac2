"""What is done to a rollout at the console: submit, approve, start, halt, and begin anew from one."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from annexfleet_controller.cli import exits, rollout_watch
from annexfleet_controller.cli.opened import console_user, opened
from annexfleet_controller.cli.runs import typed
from annexfleet_controller.errors import Invalid
from annexfleet_controller.settings import Home

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from annexfleet_controller.rollouts.ordering import Asker
    from annexfleet_controller.store.rollouts import Detail

EXPLAINED = (
    "exit codes of --follow: 0 all devices have it; 1 some failed, or the gate stopped it; 5 aborted, or a newer one "
    "took its place, or you paused it; 6 the time of some devices was up; 7 it is not known what became of some"
)
AN_HOUR_S = 3600.0
_UNVERSIONED = frozenset({"status", "rehearse", "retry", "rollback", "clone"})
"""These change nothing of the rollout that is named."""


def add(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    submit = of_one(actions, "submit", "freeze the devices and waves of a draft", _submit)
    submit.add_argument("--targets", default="", metavar="DIGEST", help="refuse where other devices are meant by now")
    of_one(actions, "approve", "say yes as the second person", _approve)
    reject = of_one(
        actions,
        "reject",
        "say no as the second person; it is a draft again",
        _with_reason("reject", "is a draft again"),
    )
    reject.add_argument("--reason", required=True, help="why, for who wrote it")
    of_one(actions, "withdraw", "take back what was submitted or approved; it is a draft again", _withdraw)
    dry_run = of_one(actions, "dry-run", "queue a run that shows what would change, and changes nothing", _dry_run)
    dry_run.add_argument("--wave", type=int, metavar="N", help="only on the devices of this wave")
    start = of_one(actions, "start", "let an approved one begin", _start)
    start.epilog = EXPLAINED
    start.add_argument("--deadline", type=float, metavar="HOURS", help="at most so long (by default as it was planned)")
    start.add_argument("--follow", action="store_true", help="tell how it goes until it is over")
    pause = of_one(
        actions,
        "pause",
        "begin nothing from now on; what runs goes on to its end",
        _with_reason("pause", "paused: nothing is begun any more"),
    )
    pause.add_argument("--reason", default="", help="why, for those who read its story")
    resume = of_one(actions, "resume", "let one go on", _with_reason("resume", "goes on"))
    resume.add_argument("--reason", default="", help="why; needed after the gate stopped it")
    abort = of_one(actions, "abort", "end one; what runs goes on to its end", _with_reason("abort", "aborted"))
    abort.add_argument("--reason", required=True, help="why, for those who read its story")
    _add_anew(actions)


def _add_anew(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    for name, about, run in (
        ("retry", "a draft for the devices that ended badly", _deriving("retry_failed")),
        ("clone", "a draft of the same", _deriving("clone")),
        ("rollback", "drafts that take back what was done, one for each state that devices came from", _roll_back),
    ):
        of_one(actions, name, about, run).add_argument(
            "--secret", action="append", default=[], metavar="NAME", dest="secrets",
            help="a secret that is kept no more: its value is asked for, or read as a line of standard input",
        )  # fmt: skip


def of_one(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    about: str,
    run: Callable[[Home, argparse.Namespace], int],
) -> argparse.ArgumentParser:
    """An action upon the rollout of a number."""
    parser = actions.add_parser(name, help=about)
    parser.add_argument("number", type=_rollout_number)
    if name not in _UNVERSIONED:
        parser.add_argument(
            "--version", type=int, metavar="N", help="refuse where somebody changed it since `status` told this version"
        )
    parser.set_defaults(run=run)
    return parser


def _rollout_number(text: str) -> int:
    number = int(text)
    if not 0 < number < 2**63:
        raise argparse.ArgumentTypeError(f"no number of a rollout: {text}")
    return number


# -- steering


def _submit(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import proposing

    done = _done(
        home, args,
        lambda db, version: proposing.submit(
            db, home, args.number, asker(), version=version, now=SYSTEM.now(), targets_digest=args.targets
        ),
    )  # fmt: skip
    if done.state == "approved":
        print(f"rollout {done.id} needs no second person; `annexfleet rollout start {done.id}` begins it")
    else:
        print(f"rollout {done.id} waits for a second person: who signs in and approves it on its page")
    print(f"devices {done.targets_digest}\nplan    {done.plan_digest}")
    return exits.DONE


def _approve(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import proposing

    done = _done(
        home, args,
        lambda db, version: proposing.approve(db, home, args.number, asker(), version=version, now=SYSTEM.now()),
    )  # fmt: skip
    print(f"rollout {done.id} approved by {done.approved_by}; `annexfleet rollout start {done.id}` begins it")
    return exits.DONE


def _start(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import proposing

    deadline_s = None if args.deadline is None else args.deadline * AN_HOUR_S
    done = _done(
        home, args,
        lambda db, version: proposing.start(
            db, home, args.number, asker(), version=version, now=SYSTEM.now(), deadline_s=deadline_s
        ),
    )  # fmt: skip
    if args.follow:
        return rollout_watch.follow(home, done.id, asker())
    print(f"rollout {done.id} begins, until {done.deadline_at:%Y-%m-%d %H:%M} UTC at most")
    return exits.DONE


def _with_reason(act: str, said: str) -> Callable[[Home, argparse.Namespace], int]:
    """The command that asks for this act of `proposing` with a reason, and what it says when that is done."""

    def run(home: Home, args: argparse.Namespace) -> int:
        from annexfleet_controller.clock import SYSTEM
        from annexfleet_controller.rollouts import proposing

        do = getattr(proposing, act)
        done = _done(
            home, args,
            lambda db, version: do(db, args.number, asker(), version=version, now=SYSTEM.now(), reason=args.reason),
        )  # fmt: skip
        return _tell_under_way(done, said)

    return run


def _tell_under_way(done: "Detail", what: str) -> int:
    under_way = done.tally.get("running", 0) + done.tally.get("verifying", 0)
    print(f"rollout {done.id} {what}" + (f"; {under_way} devices go on to their end" if under_way else ""))
    return exits.DONE


def _done(home: Home, args: argparse.Namespace, do: "Callable[[Session, int], Detail]") -> "Detail":
    """Carry out an act on the version that was named, else on the rollout as it is."""
    from annexfleet_controller.store import rollouts
    from annexfleet_controller.store.scope import WHOLE

    with opened(home) as db:
        found = rollouts.find(db, WHOLE, args.number)
        return do(db, found.version if args.version is None else args.version)


def asker() -> "Asker":
    """Whoever sits at this console."""
    from annexfleet_controller.rollouts.ordering import Asker

    return Asker(name=console_user(), via="console")


def _withdraw(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import proposing

    done = _done(
        home, args,
        lambda db, version: proposing.withdraw(db, args.number, asker(), version=version, now=SYSTEM.now()),
    )  # fmt: skip
    print(f"rollout {done.id} is a draft again")
    return exits.DONE


def _dry_run(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import proposing
    from annexfleet_controller.store import rollouts
    from annexfleet_controller.store.scope import WHOLE

    with opened(home) as db:
        found = rollouts.find(db, WHOLE, args.number)
        run_id = proposing.dry_run(
            db, home, args.number, asker(), version=found.version if args.version is None else args.version,
            now=SYSTEM.now(), wave=args.wave,
        )  # fmt: skip
    print(f"run {run_id} is queued; `annexfleet runs show {run_id} --diffs` tells what would change")
    return exits.DONE


# -- from one to the next


def _deriving(how: str) -> Callable[[Home, argparse.Namespace], int]:
    """The command that makes a draft by this function of `proposing`."""

    def run(home: Home, args: argparse.Namespace) -> int:
        from annexfleet_controller.clock import SYSTEM
        from annexfleet_controller.rollouts import proposing
        from annexfleet_controller.store import rollouts
        from annexfleet_controller.store.scope import WHOLE

        make, secrets = getattr(proposing, how), _secrets(home, args)
        with opened(home) as db:
            made = make(db, home, args.number, asker(), now=SYSTEM.now(), secrets=secrets)
            _tell_draft(rollouts.find(db, WHOLE, made))
        return exits.DONE

    return run


def _roll_back(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import proposing
    from annexfleet_controller.store import rollouts
    from annexfleet_controller.store.scope import WHOLE

    secrets = _secrets(home, args)
    with opened(home) as db:
        back = proposing.roll_back(db, home, args.number, asker(), now=SYSTEM.now(), secrets=secrets)
        for made in back.drafts:
            _tell_draft(rollouts.find(db, WHOLE, made))
    if back.lost:
        print(f"nobody knows how {len(back.lost)} devices were, and no draft has them: {' '.join(back.lost)}")
    return exits.DONE


def _secrets(home: Home, args: argparse.Namespace) -> dict[str, Any]:
    """Values of the secrets that were named, asked for one by one."""
    from annexfleet_controller.store import rollouts
    from annexfleet_controller.store.scope import WHOLE

    if not args.secrets:
        return {}
    with opened(home) as db:
        found = rollouts.find(db, WHOLE, args.number)
    if strange := sorted(set(args.secrets) - set(found.secret_names)):
        raise Invalid(f"rollout {args.number} has no secret {strange[0]!r}", field="secrets")
    return typed(home, found.playbook, [], args.secrets)[1]


def _tell_draft(made: "Detail") -> None:
    print(
        f"draft {made.id}, version {made.version}, {made.target_count} devices; "
        f"`annexfleet rollout submit {made.id}` freezes it"
    )
