"""Why a printer, or the print server, could not be asked."""

from annexfleet_agent.protocol.messages import ProblemCode

SILENT: frozenset[ProblemCode] = frozenset({"unreachable", "timed_out"})
"""Codes of a printer from which nothing came; with the others something answered, only not usefully."""


class Failed(Exception):
    """One question went unanswered.  Only the code leaves the device; `detail` is for `annexfleet-agent check`."""

    def __init__(self, code: ProblemCode, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail
