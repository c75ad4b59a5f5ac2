"""A connection to the broker whose other end is the test."""

from annexfleet_agent.protocol import messages, topics, wire

DEVICE = "d-" + "a" * 26


class FakeSession:
    """Stands in for `session.Session`."""

    def __init__(self, ears):
        self.ears = ears
        self.said = []
        self.is_open = True
        self._answered = 0
        self.acknowledges = True
        self.mark = 0

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
        """The broker answers what was published until now, and the controller each hello that it got."""
        for _ in range(len(self.said) - self._answered):
            self._answered += 1
            self.delivered(self._answered, reason)

    def delivered(self, mid, reason=0):
        """The broker answers one publication."""
        self.ears.on_delivered(mid, reason)
        kind, message, _ = self.said[mid - 1]
        if kind == "hello" and reason == 0 and self.acknowledges:
            self.hear(messages.Ack(upto=self.mark, install_id=message.install_id))

    def hear(self, message):
        self.ears.on_message(topics.down(DEVICE, wire.kind_of(message)), wire.encode(message))

    def kinds(self):
        return [kind for kind, _, _ in self.said]

    def seqs(self):
        return [message.seq for kind, message, _ in self.said if kind not in ("hello", "live", "gone")]
