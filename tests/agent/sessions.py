"""A connection to the broker whose other end is the test."""

from annexfleet_agent.protocol import topics, wire

DEVICE = "d-" + "a" * 26


class FakeSession:
    """Stands in for `session.Session`."""

    def __init__(self, ears):
        self.ears = ears
        self.said = []
        self.is_open = True
        self._answered = 0

    def publish(self, kind, payload, *, qos):
        self.said.append((kind, wire.decode_up(kind, payload), qos))
        return len(self.said)

    def close(self):
        self.is_open = False

    def break_off(self, why):
        self.is_open = False
        self.ears.on_closed(why, refused=False)

    # -- the other end

    def answer(self, reason=0):
        """The broker answers what was published until now."""
        for _ in range(len(self.said) - self._answered):
            self._answered += 1
            self.ears.on_delivered(self._answered, reason)

    def hear(self, message):
        self.ears.on_message(topics.down(DEVICE, wire.kind_of(message)), wire.encode(message))

    def kinds(self):
        return [kind for kind, _, _ in self.said]

    def seqs(self):
        return [message.seq for kind, message, _ in self.said if kind not in ("hello", "live", "gone")]
