"""Differences read the same wherever the change is the same."""

import random
import re
import time
from itertools import takewhile

import pytest

from annexfleet_controller.rollouts import diffs
from annexfleet_controller.rollouts.masking import NOTHING, Mask

HUNK = r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@"


def text(diff: object, *names: str, mask: Mask = NOTHING) -> str:
    return diffs.text({"diff": diff}, names=names, mask=mask)


def test_a_difference_is_told_line_by_line_under_what_it_is_about():
    diff = {"before": "a\nb\n", "after": "a\nc\n", "before_header": "/etc/x", "after_header": "/tmp/tmpabc123de"}

    assert text(diff).splitlines() == ["--- /etc/x", "@@ -1,2 +1,2 @@", " a", "-b", "+c"]


def test_attributes_of_a_file_are_told_by_name():
    diff = {"before": {"path": "/etc/x", "mode": "0644"}, "after": {"path": "/etc/x", "mode": "0600"}}

    assert '-mode: "0644"' in text(diff)
    assert '+mode: "0600"' in text(diff)


def test_names_of_devices_and_temporary_files_are_taken_out():
    def change(name: str, file: str) -> str:
        return text({"before": "", "after": f"{name}.annex {name}-2 my{name}\nsource {file}\n"}, name, "d-" + name)

    one = change("guichet-one", "/var/lib/someone/.ansible/tmp/ansible-tmp-17.2-5/source")
    assert "guichet-one.annex" not in one
    assert one == change("guichet-two", "/home/someone/.ansible/tmp/ansible-tmp-99.1-7/source").replace(
        "guichet-two-2 myguichet-two", "guichet-one-2 myguichet-one"
    )


def test_a_short_name_stays_for_it_stands_everywhere():
    assert "+1 of 1" in text({"before": "", "after": "1 of 1\n"}, "1")


@pytest.mark.parametrize(
    "diff",
    [
        {"before": "x" * 300_000, "after": "y"},
        {"before": "", "after": "line\n" * 50_000},
        {"prepared": "z" * 5_000_000},
        [{"before": f"{n}", "after": "x" * 2000} for n in range(3000)],
    ],
)
def test_a_large_difference_is_cut(diff: object):
    assert 0 < len(text(diff)) <= diffs.LONGEST


@pytest.mark.parametrize("diff", [None, [], "text", 7, [None, 3], {"before": "a", "after": "a"}, {"before": None}])
def test_no_difference_is_no_text(diff: object):
    assert text(diff) == ""


def test_secrets_are_masked_in_differences():
    assert "opensesame" not in text({"before": "", "after": "pw opensesame\n"}, mask=Mask(["opensesame"]))


def test_the_digest_of_all_changes_tells_order_and_place_apart():
    assert diffs.digest_of_all([]) == ""
    both = {diffs.digest_of_all([("a", "1"), ("b", "2")]), diffs.digest_of_all([("a", "2"), ("b", "1")])}
    assert len(both | {diffs.digest_of_all([("a", "1")]), diffs.digest_of_all([("a", "")])}) == 4


def patched(lines: list[str], told: list[str]) -> list[str]:
    """What `patch` makes of these lines."""
    found, at = [], 0
    while told:
        old, old_count, new, new_count = (int(n or 1) for n in re.fullmatch(HUNK, told.pop(0)).groups())
        start = old - 1 if old_count else old
        found += lines[at:start]
        assert len(found) == (new - 1 if new_count else new)
        hunk = list(takewhile(lambda line: line[0] != "@", told))
        told = told[len(hunk) :]
        assert [line[1:] for line in hunk if line[0] in " -"] == lines[start : start + old_count]
        found += [line[1:] for line in hunk if line[0] in " +"]
        at = start + old_count
    return found + lines[at:]


@pytest.mark.parametrize("letters", ["abc", "abcdefghijklmnop"])
@pytest.mark.parametrize("length", [1, 2, 12, 400, 2900])
def test_a_difference_makes_of_one_side_the_other(letters: str, length: int):
    random_ = random.Random(length)
    for _ in range(2000 // length + 1):
        before = [random_.choice(letters) for _ in range(random_.randrange(length) + 1)]
        after = [random_.choice(letters) if random_.random() < 0.2 else line for line in before]
        after[random_.randrange(len(after) + 1) :] += random_.choice([[], ["x"], ["x", "a"]])

        told = text({"before": "\n".join(before), "after": "\n".join(after)}).splitlines()[1:]

        assert patched(before, told) == after


@pytest.mark.parametrize(
    "diff",
    [
        {"before": "", "after": "/" * 250_000},
        {"before": "", "after": "/tmp/" * 50_000},
        [
            {
                "before": "\n".join(str(n % 110) for n in range(2900)),
                "after": "\n".join(str(n * 37 % 110) for n in range(2900)),
            }
            for _ in range(40)
        ],
        [{"before": "\n".join("abcd" * 60), "after": "\n".join("dabc" * 60)} for _ in range(600)],
        [{"before": "a", "after": "a"}] * 500_000,
    ],
)
def test_no_device_can_keep_its_run_waiting_with_what_it_says(diff: object):
    began = time.process_time()
    text(diff)

    assert time.process_time() - began < 10
