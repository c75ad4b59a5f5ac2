"""A rehearsal in a process of its own: it takes a processor for seconds, and can be ended when it takes too long."""

import pickle
import subprocess
import sys
from datetime import datetime

from annexfleet_controller.waves.model import Nature, Policy
from annexfleet_controller.waves.rehearsal import Script, Setting, Story, rehearse


class TookTooLong(Exception):
    """It was ended before it came to an end of its own."""


class Broken(Exception):
    """It failed; what its process said."""


def played(
    setting: Setting, policy: Policy, nature: Nature, script: Script, *, start_at: datetime, deadline_s: float,
    within_s: float,
) -> Story:  # fmt: skip
    """As `rehearse` tells it.  Raises TookTooLong and Broken."""
    # Both ends are this file of this release, so what goes between them may be pickled.
    asked = pickle.dumps((setting, policy, nature, script, start_at, deadline_s))
    try:
        done = subprocess.run(  # noqa: S603  # our own interpreter and module
            [sys.executable, "-m", __name__], input=asked, capture_output=True, timeout=within_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise TookTooLong from None
    if done.returncode:
        raise Broken(done.stderr.decode(errors="replace")[-2000:])
    story: Story = pickle.loads(done.stdout)  # noqa: S301
    return story


def main() -> None:
    """Play what standard input asks, and tell it to standard output."""
    setting, policy, nature, script, start_at, deadline_s = pickle.loads(sys.stdin.buffer.read())  # noqa: S301
    story = rehearse(setting, policy, nature, script, start_at=start_at, deadline_s=deadline_s)
    sys.stdout.buffer.write(pickle.dumps(story))


if __name__ == "__main__":
    main()
