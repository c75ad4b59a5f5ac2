"""Hypothesis strategies for every message of the wire."""

from hypothesis import strategies as st
from msgspec import Struct, structs

from annexfleet_agent.protocol import messages as m

names = st.text(st.characters(codec="utf-8"), max_size=40)
codes = st.text(st.characters(codec="utf-8"), max_size=20)
finite = st.floats(-1e15, 1e15, allow_nan=False) | st.integers(-(10**15), 10**15)
seqs = st.integers(1, 2**53)
moments = st.floats(0, 4e10) | st.integers(0, 40_000_000_000)
values = finite | names | st.lists(names, max_size=4)
readings = st.dictionaries(names, st.dictionaries(names, values, max_size=4), max_size=4)
problems = st.dictionaries(names, st.dictionaries(names, codes, max_size=3), max_size=3)
numbers = st.dictionaries(
    names,
    st.dictionaries(names, finite | st.builds(m.Summary, last=finite, min=finite, mean=finite, max=finite), max_size=4),
    max_size=4,
)
item = {"seq": seqs, "at": moments, "earlier_boot": st.booleans()}

UP: dict[str, st.SearchStrategy[m.UpMessage]] = {
    "hello": st.builds(
        m.Hello,
        clock=moments,
        session_id=codes,
        boot_id=codes,
        install_id=codes,
        next_seq=seqs,
        oldest_seq=st.integers(0, 2**53),
        agent_version=codes,
        config_version=st.integers(0, 2**31),
        features=st.lists(codes, max_size=3),
    ),
    "beat": st.builds(m.Beat, **item, seconds=st.floats(0, 86_400), samples=st.integers(0, 100_000), numbers=numbers),
    "change": st.builds(
        m.Change, **item, collector=codes, readings=readings, problems=problems, because=st.lists(names, max_size=4)
    ),
    "inventory": st.builds(
        m.Inventory,
        **item,
        digest=codes,
        hardware=st.dictionaries(names, values, max_size=4),
        os=st.dictionaries(names, values, max_size=4),
        packages_digest=codes,
        packages=st.dictionaries(names, names, max_size=6),
        printers=st.lists(st.dictionaries(names, values, max_size=3), max_size=2),
    ),
    "receipt": st.builds(
        m.Receipt,
        **item,
        command_id=codes,
        outcome=st.sampled_from(["done", "refused", "failed", "unknown"]),
        detail=codes,
    ),
    "gap": st.builds(
        m.Gap,
        **item,
        ranges=st.lists(st.tuples(seqs, seqs), max_size=5),
        lost=st.dictionaries(codes, st.integers(0, 10**6), max_size=4),
    ),
    "live": st.builds(m.Live, at=moments, readings=readings),
    "gone": st.builds(m.Gone, session_id=codes, reason=st.sampled_from(["lost", "stopped"])),
}
DOWN: dict[str, st.SearchStrategy[m.DownMessage]] = {
    "ack": st.builds(m.Ack, upto=st.integers(0, 2**53), install_id=codes),
    "config": st.builds(
        m.Config,
        version=st.integers(1, 2**31),
        settings=st.builds(
            m.DesiredSettings,
            sample_period_s=st.none() | st.floats(5, 3600),
            beat_period_s=st.none() | st.floats(30, 3600),
            portals=st.none()
            | st.lists(st.builds(m.Portal, name=st.from_regex(r"\A[a-z0-9][a-z0-9-]{0,40}\Z"), url=names), max_size=3),
            printers_probed_elsewhere=st.none() | st.lists(names, max_size=3),
        ),
    ),
    "command": st.builds(m.Command, id=codes, action=codes, seconds=st.floats(0, 900)),
}


def same(one: object, other: object) -> bool:
    """Equal, where a float that is whole may come back as an int, and a tuple as a list."""
    if isinstance(one, Struct) and isinstance(other, Struct):
        return type(one) is type(other) and same(structs.astuple(one), structs.astuple(other))
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other
