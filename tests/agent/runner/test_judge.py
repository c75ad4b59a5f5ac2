import msgspec
import pytest
from tests.agent.runner.authority import Enrolled, Made, Signer

from annexfleet_agent.protocol.envelope import (
    MAX_ENVELOPE_BYTES,
    Arguments,
    Challenge,
    Delivery,
    Signed,
    pack,
    parse,
)
from annexfleet_agent.protocol.sealing import verified_keys
from annexfleet_agent.runner import keys
from annexfleet_agent.runner.judge import Asked, Known, Refused, verdict

BOOT = "0123456789ab"
SESSION = "00112233aabbccdd"
ASKED = "ab" * 16
MADE_AT = 1000.0


@pytest.fixture
def device(tmp_path):
    return Enrolled(tmp_path / "runner")


def challenge(**other):
    return Challenge(
        **{"session": SESSION, "challenge": ASKED, "boot_id": BOOT, "keys_version": 1, "exchange_key": "0" * 64} | other
    )


def known(device, **other):
    trust = keys.trust(device.directory)
    fields = {
        "device_id": device.device_id,
        "boot_id": BOOT,
        "key": keys.load(device.directory),
        "keys": trust.keys,
        "verify_keys": lambda signed: verified_keys(trust.root, signed),
        "asked": {ASKED: Asked(SESSION, MADE_AT)},
        "sequence": 0,
        "newest_issued_at": 0.0,
        "allowed": frozenset({"run", "command"}),
        "busy": False,
        "now": MADE_AT + 1,
    }
    return Known(**fields | other)


def reason(packet, told):
    with pytest.raises(Refused) as refused:
        verdict(packet, told)
    return refused.value.reason


def test_a_good_envelope_is_accepted_and_its_arguments_are_opened(device):
    arguments = Arguments(command="reboot", parameters={"delay_s": 5})
    made = Made(device, challenge(), arguments=arguments, action="command", command_id="c-1")

    accepted = verdict(made.packet, known(device))

    assert accepted.arguments == arguments
    assert accepted.envelope.command_id == "c-1"
    assert accepted.session_keys == made.keys
    assert accepted.new_keys is None


def test_a_foreign_key_is_refused(device):
    stranger = Signer()
    same_name = Signer()
    same_name.id = device.signer.id

    assert reason(Made(device, challenge(), signer=stranger).packet, known(device)) == "unknown_key"
    assert reason(Made(device, challenge(), signer=same_name).packet, known(device)) == "bad_signature"


def test_a_body_that_was_tampered_with_is_refused(device):
    made = Made(device, challenge())
    body = msgspec.json.decode(made.body)
    body["sequence"] += 1
    tampered = Delivery(envelope=Signed(body=msgspec.json.encode(body), proof=made.delivery.envelope.proof))

    assert reason(pack(tampered), known(device)) == "bad_signature"


def test_every_bit_that_is_flipped_is_noticed(device):
    """Of the packet: whatever comes of it is refused, or is the very same delivery in other letters."""
    made = Made(device, challenge())
    told = known(device)
    same = 0

    for at in range(1, len(made.packet)):
        for bit in range(8):
            packet = bytearray(made.packet)
            packet[at] ^= 1 << bit
            try:
                verdict(bytes(packet), told)
            except Refused:
                continue
            # Base64 has bits at its end that mean nothing, and a field that is null may as well bear another name.
            assert parse(bytes(packet[1:]), Delivery) == made.delivery
            same += 1

    assert same < 64


def test_every_bit_of_what_is_signed_and_of_the_proof_counts(device):
    made = Made(device, challenge())
    told = known(device)

    for body, proof in (
        *((flipped, made.delivery.envelope.proof) for flipped in every_flip(made.body)),
        *((made.body, flipped) for flipped in every_flip(made.delivery.envelope.proof)),
    ):
        with pytest.raises(Refused):
            verdict(pack(Delivery(envelope=Signed(body=body, proof=proof))), told)


def every_flip(data):
    for at in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            yield bytes(flipped)


def test_an_envelope_for_another_device_is_refused(device, tmp_path):
    other = "d-" + "b" * 26

    assert reason(Made(device, challenge(), device_id=other).packet, known(device)) == "other_device"


def test_an_envelope_of_an_earlier_boot_is_refused(device):
    assert reason(Made(device, challenge(), boot_id="ffffffffffff").packet, known(device)) == "stale_boot"


def test_a_challenge_that_is_not_ours_or_of_another_session_is_refused(device):
    assert reason(Made(device, challenge(challenge="cd" * 16)).packet, known(device)) == "foreign_challenge"
    assert reason(Made(device, challenge(session="ff" * 8)).packet, known(device)) == "foreign_challenge"


def test_a_held_envelope_expires_by_the_devices_own_monotonic_clock(device):
    short = {"issued_at": 1e9, "expires_at": 1e9 + 30}

    assert verdict(Made(device, challenge(), **short).packet, known(device, now=MADE_AT + 29.9))
    assert reason(Made(device, challenge(), **short).packet, known(device, now=MADE_AT + 31)) == "expired"
    longest = {"issued_at": 1e9, "expires_at": 1e9 + 120}
    assert reason(Made(device, challenge(), **longest).packet, known(device, now=MADE_AT + 61)) == "expired"


def test_an_envelope_that_ended_before_the_newest_one_began_is_refused(device):
    told = known(device, newest_issued_at=2e9)

    assert reason(Made(device, challenge(), issued_at=2e9 - 60, expires_at=2e9).packet, told) == "expired"
    assert verdict(Made(device, challenge(), issued_at=2e9 - 60, expires_at=2e9 + 1).packet, told)


def test_a_sequence_that_was_seen_is_refused(device):
    made = Made(device, challenge(), sequence=7)

    assert reason(made.packet, known(device, sequence=7)) == "replayed"
    assert verdict(made.packet, known(device, sequence=6))


@pytest.mark.parametrize(
    "other",
    [
        {"action": "shell"},
        {"ephemeral_key": b"short"},
        {"expires_at": 1_780_000_000.0 + 121},
        {"version": 2},
        {"sequence": 0},
        {"challenge": "AB" * 16},
        {"session": "x" * 16},
        {"command_id": ""},
    ],
)
def test_a_field_that_cannot_be_is_malformed_even_with_a_good_signature(device, other):
    assert reason(Made(device, challenge(), **other).packet, known(device)) == "malformed"


@pytest.mark.parametrize(
    "packet", [b"", b"E", b"E{}", b"K{}", b"E[1]", b'E{"envelope":{"body":"","proof":""}}', b"E\xff"]
)
def test_what_is_no_envelope_is_malformed(device, packet):
    assert reason(packet, known(device)) == "malformed"


def test_a_packet_that_is_too_big_is_not_even_read(device):
    assert reason(b"E" + b" " * MAX_ENVELOPE_BYTES, known(device)) == "too_big"


def test_arguments_that_were_sealed_for_another_are_refused(device, tmp_path):
    other = Enrolled(tmp_path / "other")

    assert reason(Made(device, challenge(), public=other.public).packet, known(device)) == "sealed_wrong"


def test_a_key_may_be_of_no_use_for_a_class_of_action(device):
    limited = Signer(classes=("command",))
    attached = device.root.key_set(2, device.signer, limited)

    run = Made(device, challenge(), signer=limited, keys_=attached)
    command = Made(device, challenge(), signer=limited, keys_=attached, action="command", command_id="c")

    assert reason(run.packet, known(device)) == "unknown_key"
    assert verdict(command.packet, known(device)).new_keys == attached


def test_an_installation_that_takes_no_runs_says_so_only_to_its_controller(device):
    told = known(device, allowed=frozenset({"command"}))

    assert reason(Made(device, challenge()).packet, told) == "not_allowed"
    assert reason(Made(device, challenge(), signer=Signer()).packet, told) == "unknown_key"


def test_a_busy_device_refuses_only_what_it_would_have_obeyed(device):
    told = known(device, busy=True)

    assert reason(Made(device, challenge()).packet, told) == "busy"
    assert reason(Made(device, challenge(), device_id="d-" + "b" * 26).packet, told) == "other_device"


class TestKeys:
    def test_a_newer_set_of_the_root_counts_at_once_and_the_old_key_no_more(self, device):
        new = Signer()
        attached = device.root.key_set(2, new)

        assert verdict(Made(device, challenge(), signer=new, keys_=attached).packet, known(device)).new_keys == attached
        assert reason(Made(device, challenge(), keys_=attached).packet, known(device)) == "unknown_key"

    def test_the_same_set_again_is_no_news(self, device):
        attached = device.root.key_set(1, device.signer)

        assert verdict(Made(device, challenge(), keys_=attached).packet, known(device)).new_keys is None

    def test_an_older_set_is_refused(self, device):
        keys.adopt(device.directory, device.root.key_set(3, device.signer))
        old = device.root.key_set(2, device.signer)

        assert reason(Made(device, challenge(), keys_=old).packet, known(device)) == "keys_wrong"

    def test_a_set_that_another_root_signed_is_refused(self, device, tmp_path):
        other = Enrolled(tmp_path / "other")
        foreign = other.root.key_set(9, other.signer)

        assert (
            reason(Made(device, challenge(), signer=other.signer, keys_=foreign).packet, known(device)) == "keys_wrong"
        )

    def test_without_any_set_nobody_is_known(self, device):
        assert reason(Made(device, challenge()).packet, known(device, keys=None)) == "unknown_key"


def test_the_first_reason_in_the_order_of_the_wire_is_told(device):
    """Each envelope is wrong in one more way than the one before; what is told is what stands first."""
    wrong = {}
    for key, value, expected in (
        ("expires_at", 1_780_000_000.0 + 0.5, "expired"),
        ("sequence", 1, "replayed"),
        ("challenge", "cd" * 16, "foreign_challenge"),
        ("boot_id", "ffffffffffff", "stale_boot"),
        ("device_id", "d-" + "b" * 26, "other_device"),
        ("signer", Signer(), "unknown_key"),
        ("keys_", Enrolled(device.directory.parent / "x").root.key_set(9, device.signer), "keys_wrong"),
        ("action", "nothing", "malformed"),
    ):
        wrong[key] = value
        made = Made(device, challenge(), **({"sequence": 9} | wrong))
        assert reason(made.packet, known(device, sequence=5)) == expected
