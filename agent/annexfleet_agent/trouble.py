"""Why a connection could not be made, or ended, in words for a person."""

import socket
import ssl

from annexfleet_agent.identity import IdentityBroken
from annexfleet_agent.loop import TimedOut

_NOT_OURS = (18, 19, 20, 21)
"""OpenSSL's codes of a chain that does not end at the authority we trust."""
_SENTENCES: dict[type[BaseException], str] = {
    TimedOut: "the broker does not answer: check the network and the address",
    socket.gaierror: "the broker's name cannot be found: check the network",
    ConnectionRefusedError: "nothing listens at the broker's address: is the controller up?",
    TimeoutError: "the broker does not answer: check the network and the address",
    IdentityBroken: "this device's identity cannot be used",
}


def explain(error: BaseException) -> str:
    """Why a connection could not be made, for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _NOT_OURS:
            return "the broker's certificate is not of our authority: is this its controller, or was it set up anew?"
        return f"the broker's certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return plain(str(error))
    for kind, sentence in _SENTENCES.items():
        if isinstance(error, kind):
            return f"{sentence} ({error})"
    return f"cannot connect: {error}"


def plain(reason: str) -> str:
    """What OpenSSL or paho said, in plain words where we know them."""
    lower = reason.lower()
    if "certificate_revoked" in lower or "certificate revoked" in lower:
        return "this device's certificate was revoked: enrol it again"
    if "certificate_expired" in lower or "certificate expired" in lower:
        return "the broker says that this device's certificate has expired: run `annexfleet-agent renew`"
    if "unknown_ca" in lower or "unknown ca" in lower:
        return "the broker does not know who issued this device's certificate: enrol it again"
    return reason


def is_about_dates(error: BaseException) -> bool:
    """Whether by this device's clock the broker's certificate is not valid yet, or no more."""
    return isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in (9, 10)


def is_refusal(error: BaseException) -> bool:
    """Whether the broker did not want this device, in contrast to us not wanting the broker."""
    return isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLCertVerificationError)
