"""`annexfleet-agent runner trust`: a runner of root's learns whom to obey.

Root says it, once, and not the agent's user: whoever takes that user over could otherwise name a root of his own and
have anything done as root.
"""

import hashlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from annexfleet_agent import identity
from annexfleet_agent.runner import keys
from annexfleet_agent.settings import Settings

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_ENROLLED = 3


class _NotDone(Exception):
    def __init__(self, what: str, code: int) -> None:
        super().__init__(what)
        self.code = code


def main(settings: Settings) -> int:
    """Write the device's name and its controller's root into the runner's directory, and make its key."""
    try:
        print(_done(settings))  # noqa: T201  # a command's answer
    except _NotDone as error:
        print(f"annexfleet-agent: {error}", file=sys.stderr)  # noqa: T201
        return error.code
    return EXIT_OK


def _done(settings: Settings) -> str:
    directory = settings.runner_dir
    if not settings.runner_is_possible:
        raise _NotDone("there is no runner: [runner] enabled is false, or this system cannot have one", EXIT_USAGE)
    if settings.runner_is_own:
        raise _NotDone(
            f"{directory} lies in the agent's own directory: that runner acts as the agent's user, and enrolment has "
            "done this already. For a runner of root's set [runner] directory, such as /var/lib/annexfleet-runner.",
            EXIT_USAGE,
        )
    try:
        found = identity.load(settings.identity_dir)
        if found is None:
            raise _NotDone("this device is not enrolled: run `annexfleet-agent enrol -` first", EXIT_NOT_ENROLLED)
        root = found.authority.read_text(encoding="ascii")
        pin = _pin(root)
        public = keys.ensure(directory, seen_by_all=True)
        keys.remember(directory, device_id=found.device_id, root=root, signed=None, seen_by_all=True)
        keys.load(directory)
    except identity.IdentityBroken as error:
        raise _NotDone(str(error), EXIT_NOT_ENROLLED) from None
    except keys.KeysUnusable as error:
        raise _NotDone(str(error), EXIT_FAILED) from None
    except OSError as error:
        raise _NotDone(f"{error.filename}: {error.strerror}; run this as root", EXIT_FAILED) from None
    except ValueError as error:
        raise _NotDone(f"the root in {settings.identity_dir} cannot be read: {error}", EXIT_FAILED) from None
    next_ = (
        "The controller knows its key: all is done."
        if public.hex() == found.exchange_key
        else "Next: `annexfleet-agent renew` as the agent's user tells the controller its key. The running agent does "
        "it by itself within the hour."
    )
    return (
        f"The runner in {directory} obeys the controller of {found.device_id}, whose root is\n  {pin}\n"
        f"(`annexfleet keys show` on the controller must say the same).\n{next_}"
    )


def _pin(root: str) -> str:
    key = x509.load_pem_x509_certificate(root.encode()).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
