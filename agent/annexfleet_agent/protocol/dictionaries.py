"""Preset dictionaries for deflate: text that messages are likely to repeat, the likeliest last.

A dictionary is a promise: messages recorded with it must inflate for ever.  Never edit one; add the next number.
tests/protocol pins their digests.
"""

from annexfleet_agent.protocol import metrics

BY_VERSION: dict[int, bytes] = {1: b""}
NEWEST = 1
