"""Exit codes, and the errors of the command line that lead to them."""

from annexfleet_controller.errors import AnnexfleetError

DONE = 0
FAILED = 1
"""Something went wrong; the sentence on stderr says what."""
USAGE = 2
"""The command line itself was wrong (argparse's own)."""
SETTINGS = 3
"""controller.toml or the environment is wrong; the sentence names the key."""
TAKEN = 4
"""Another process has the home or the port."""

EXPLAINED = (
    "exit codes: 0 done; 1 failed, the message says why; 2 wrong command line; 3 wrong settings; "
    "4 the home or a port is in use by another process"
)


class HomeInUse(AnnexfleetError):
    code = "home_in_use"


class PortTaken(AnnexfleetError):
    code = "port_taken"


class NotReady(AnnexfleetError):
    """Something that has to be there first is not."""

    code = "not_ready"
