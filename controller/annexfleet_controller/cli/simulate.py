"""`annexfleet simulate`: a province of simulated devices, each with a real agent over the real wire."""

import argparse
from pathlib import Path

from annexfleet_controller.cli import lock, mishaps
from annexfleet_controller.settings import Home


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "simulate",
        help="drive many simulated devices over the real broker, with scripted troubles",
        description="Each device is the real agent with its own certificate; only what it measures is thought up. "
        "Identities are kept in the home, so a second run has the same devices. Needs a running `annexfleet serve`. "
        "Runs and rollouts reach these devices like any other; nothing is done on this machine, each task is answered "
        "as if it had changed something. To see beforehand what a rollout would do in compressed time, "
        "use `annexfleet rollout rehearse`.",
    )
    parser.add_argument("--annexes", type=int, default=3, help="how many annexes (%(default)s)")
    parser.add_argument("--devices", type=int, default=40, help="how many devices in all (%(default)s)")
    parser.add_argument("--rate", type=float, default=1.0, help="how fast the simulated day passes (%(default)g)")
    parser.add_argument("--script", type=Path, help="a TOML file with [[trouble]] tables instead of the default day")
    parser.add_argument(
        "--hour", metavar="HH:MM", help="local time in the province at the start; default: the real one"
    )
    parser.add_argument("--history-days", type=float, default=0.0, help="report so many past days first, once (0 to 7)")
    parser.add_argument("--seed", type=int, default=1, help="another number gives another province")
    mishaps.add(parser)
    parser.set_defaults(run=_simulate, log_name="simulate")


def _simulate(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.simulate import fleet

    options = fleet.Options(
        annexes=args.annexes, devices=args.devices, rate=args.rate, script=args.script, hour=args.hour,
        history_days=args.history_days, seed=args.seed, release=mishaps.release(args), mishaps=mishaps.mishaps(args),
    )  # fmt: skip
    with lock.held(home.path, "simulate"):
        return fleet.run(home, options)
