"""Every reading has its line in the reference, and the reference has no others."""

from tests.house.metrics_table import FILE, table

from annexfleet_agent.protocol.metrics import CATALOGUE


def test_the_reference_is_the_catalogue():
    assert FILE.read_text(encoding="utf-8") == table(), "run: python tests/house/metrics_table.py"


def test_every_metric_says_what_it_means():
    for metric in CATALOGUE.values():
        assert len(metric.meaning) > 10, metric.name
        assert not metric.meaning.endswith("."), metric.name


def test_names_end_with_their_unit():
    endings = {
        "ratio": "_ratio", "bytes": "_bytes", "seconds": "_seconds", "celsius": "_celsius", "dbm": "_dbm",
        "per_second": "_per_second", "bytes_per_second": "_bytes_per_second",
    }  # fmt: skip
    for metric in CATALOGUE.values():
        ending = endings.get(metric.unit)
        assert ending is None or metric.name.endswith(ending), f"{metric.name} is in {metric.unit}"
