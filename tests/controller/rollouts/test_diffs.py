"""Differences read the same wherever the change is the same."""

import pytest

from annexfleet_controller.rollouts import diffs
from annexfleet_controller.rollouts.masking import NOTHING, Mask


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
