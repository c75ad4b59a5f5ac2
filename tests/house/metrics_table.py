"""The catalogue of readings as a table for people.

`python tests/house/metrics_table.py` writes agent/annexfleet_agent/protocol/METRICS.md anew; a test holds it equal.
"""

from pathlib import Path

from annexfleet_agent.protocol.metrics import CATALOGUE, Metric

FILE = Path(__file__).parents[2] / "agent/annexfleet_agent/protocol/METRICS.md"

_HEAD = """\
# Every reading, by collector

Made from `metrics.py` by `python tests/house/metrics_table.py`; do not edit by hand.

Names end with their unit: ratios go from 0 to 1, everything else is in base units (seconds, bytes, degrees Celsius).
*gauge*: a number that moves all the time; it travels in beats.  *fact*: a number that seldom moves.  *state*, *states*:
a word, a set of words.  The last three travel in changes only.  *Told at once*: crossing one of these levels sends a
change without waiting for the next beat.
"""


def table() -> str:
    """The whole file."""
    lines = [_HEAD]
    collector = ""
    for metric in CATALOGUE.values():
        if metric.collector != collector:
            collector = metric.collector
            lines += [
                f"\n## {collector}\n",
                "| name | kind | meaning | usual | told at once |",
                "|---|---|---|---|---|",
            ]
        lines.append(_row(metric))
    return "\n".join(lines) + "\n"


def _row(metric: Metric) -> str:
    usual = "" if metric.usual is None else f"{metric.usual[0]:g} to {metric.usual[1]:g}"
    meaning = metric.meaning + (f": {', '.join(metric.words)}" if metric.words else "")
    levels = ", ".join(f"{level:g}" for level in metric.levels)
    return f"| `{metric.name}` | {metric.kind} | {meaning} | {usual} | {levels} |"


if __name__ == "__main__":
    FILE.write_text(table(), encoding="utf-8")
