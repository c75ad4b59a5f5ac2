"""msgspec without what it imports needlessly: 20 ms of each start.  Import this before all else; `lean` does more."""

from annexfleet_agent import later

later.import_msgspec()
