"""What a person may write in a calendar, and what is refused with its place and reason."""

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.controller.calendars.weeks import every_day, spans

from annexfleet_controller.calendars import CalendarDocument, DatedHours, parse, resolve, written
from annexfleet_controller.calendars.calendar import DEFAULT, DEFAULT_RAMADAN_WEEK
from annexfleet_controller.errors import CalendarWrong, Invalid


def test_a_whole_document():
    document = parse(
        {
            "week": {"monday": [["14:00", "18:30"], ["08:30", "12:00"]], "saturday": [["20:00", "24:00"]]},
            "ramadan": {"monday": [["09:00", "15:00"]]},
            "exceptions": [
                {"from": "2027-07-01", "to": "2027-08-31", "hours": [["07:30", "15:00"]], "name": "été"},
                {"date": "2027-07-14", "closed": True},
            ],
            "closed_on_holidays": False,
        }
    )

    assert document.week == (spans("08:30-12:00", "14:00-18:30"), (), (), (), (), spans("20:00-24:00"), ())
    assert document.ramadan == (spans("09:00-15:00"), (), (), (), (), (), ())
    assert document.exceptions == (  # the shortest first: one day within a summer counts
        DatedHours(date(2027, 7, 14), date(2027, 7, 14), ()),
        DatedHours(date(2027, 7, 1), date(2027, 8, 31), spans("07:30-15:00"), "été"),
    )
    assert document.closed_on_holidays is False


def test_nothing_decided():
    nothing = {"week": None, "ramadan": None, "exceptions": None, "closed_on_holidays": None}

    assert parse({}) == parse(nothing) == CalendarDocument()


def test_a_week_that_is_given_is_whole():
    assert parse({"week": {}}).week == every_day()


MONDAY = "week.monday"
NEW_YEAR = {"date": "2027-01-02", "closed": True}


@pytest.mark.parametrize(
    ("document", "field", "reason"),
    [
        ([], "document", "not_an_object"),
        ("week", "document", "not_an_object"),
        ({"weeks": {}}, "weeks", "unknown_field"),
        ({"week": []}, "week", "not_an_object"),
        ({"week": {"mon": []}}, "week.mon", "unknown_field"),
        ({"week": {"monday": "08:30-12:00"}}, MONDAY, "not_a_list"),
        ({"week": {"monday": [["08:30"]]}}, MONDAY, "not_a_span"),
        ({"week": {"monday": [["08:30", "12:00", "13:00"]]}}, MONDAY, "too_many"),
        ({"week": {"monday": [["8:30", "12:00"]]}}, MONDAY, "not_a_time"),
        ({"week": {"monday": [["08:30", "24:01"]]}}, MONDAY, "not_a_time"),
        ({"week": {"monday": [["08:30", "١٢:٠٠"]]}}, MONDAY, "not_a_time"),
        ({"week": {"monday": [[830, 1200]]}}, MONDAY, "not_a_time"),
        ({"week": {"monday": [["12:00", "08:30"]]}}, MONDAY, "ends_before_it_begins"),
        ({"week": {"monday": [["22:00", "02:00"]]}}, MONDAY, "ends_before_it_begins"),
        ({"week": {"monday": [["08:30", "08:30"]]}}, MONDAY, "ends_before_it_begins"),
        ({"week": {"monday": [["08:30", "12:00"], ["11:59", "13:00"]]}}, MONDAY, "spans_overlap"),
        ({"week": {"monday": [["08:30", "08:31"]] * 7}}, MONDAY, "too_many"),
        ({"ramadan": {"friday": [["15:00", "09:00"]]}}, "ramadan.friday", "ends_before_it_begins"),
        ({"closed_on_holidays": "yes"}, "closed_on_holidays", "not_yes_or_no"),
        ({"exceptions": {}}, "exceptions", "not_a_list"),
        ({"exceptions": [3]}, "exceptions.0", "not_an_object"),
        ({"exceptions": [{}]}, "exceptions.0", "date_or_from_and_to"),
        ({"exceptions": [{"date": "2027-01-01", "to": "2027-01-02"}]}, "exceptions.0", "date_or_from_and_to"),
        ({"exceptions": [{"date": "2027-02-29", "closed": True}]}, "exceptions.0.date", "not_a_date"),
        ({"exceptions": [{"date": "20270301", "closed": True}]}, "exceptions.0.date", "not_a_date"),
        ({"exceptions": [{"date": "0001-01-01", "closed": True}]}, "exceptions.0.date", "not_a_date"),
        ({"exceptions": [{"date": 5, "closed": True}]}, "exceptions.0.date", "not_a_date"),
        ({"exceptions": [{"from": "2027-01-02", "closed": True}]}, "exceptions.0.to", "not_a_date"),
        (
            {"exceptions": [{"from": "2027-01-02", "to": "2027-01-01", "closed": True}]},
            "exceptions.0.to", "ends_before_it_begins",
        ),
        ({"exceptions": [{"from": "2027-01-02", "to": "2029-01-01", "closed": True}]}, "exceptions.0.to", "too_long"),
        ({"exceptions": [{"date": "2027-01-02"}]}, "exceptions.0", "hours_or_closed"),
        (
            {"exceptions": [{"date": "2027-01-02", "closed": True, "hours": [["08:00", "09:00"]]}]},
            "exceptions.0", "hours_or_closed",
        ),
        ({"exceptions": [{"date": "2027-01-02", "closed": 1}]}, "exceptions.0.closed", "not_yes_or_no"),
        ({"exceptions": [{**NEW_YEAR, "name": "x" * 101}]}, "exceptions.0.name", "not_a_name"),
        ({"exceptions": [{**NEW_YEAR, "name": "a\x00"}]}, "exceptions.0.name", "not_a_name"),
        (
            {"exceptions": [NEW_YEAR, {"date": "2027-01-02", "hours": [["08:00", "9:00"]]}]},
            "exceptions.1.hours", "not_a_time",
        ),
        (
            {"exceptions": [NEW_YEAR, NEW_YEAR]},
            "exceptions.1", "exceptions_overlap",
        ),
        ({"exceptions": [NEW_YEAR] * 301}, "exceptions", "too_many"),
    ],
)  # fmt: skip
def test_what_is_refused(document, field, reason):
    with pytest.raises(CalendarWrong) as refused:
        parse(document)

    assert refused.value.facts == {"field": field, "reason": reason}
    assert isinstance(refused.value, Invalid)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["08:30", "24:00", "2027-01-02"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["week", "ramadan", "exceptions", "monday", "date", "from", "to", "hours", "closed", "name"]
            ),
            inner,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["week", "ramadan", "exceptions", "closed_on_holidays"]), _JSON))
def test_whatever_comes_is_read_or_refused_with_a_reason(document):
    read, facts = None, {}
    try:
        read = parse(document)
    except CalendarWrong as refused:
        facts = refused.facts

    if read is None:
        assert facts["field"]
        assert facts["reason"]
    else:
        assert parse(json.loads(json.dumps(written(read)))) == read


# -- from documents to a calendar


def test_nobody_decided_anything():
    assert resolve(None, None) == DEFAULT


def test_the_annex_then_the_province_then_the_default():
    province = parse({"week": {"monday": [["08:00", "14:00"]]}, "closed_on_holidays": False})
    annex = parse({"closed_on_holidays": True})

    calendar = resolve(province, annex, time_zone="Europe/Paris")

    assert calendar.week[0] == spans("08:00-14:00")
    assert calendar.closed_on_holidays is True
    assert resolve(province, None).closed_on_holidays is False
    assert calendar.time_zone == "Europe/Paris"


def test_ramadan_hours_of_others_do_not_open_a_day_that_the_own_week_leaves_closed():
    annex = parse({"week": {"tuesday": [["09:00", "12:00"]]}})
    province = parse({"ramadan": {"monday": [["10:00", "14:00"]], "tuesday": [["10:00", "14:00"]]}})

    assert resolve(None, annex).ramadan_week == ((), DEFAULT_RAMADAN_WEEK[1], (), (), (), (), ())
    assert resolve(province, annex).ramadan_week == ((), spans("10:00-14:00"), (), (), (), (), ())
    assert resolve(None, parse({"ramadan": {"sunday": [["10:00", "14:00"]]}})).ramadan_week[6] == spans("10:00-14:00")


def test_on_a_day_that_both_name_the_annex_counts():
    province = parse({"exceptions": [{"date": "2027-06-09", "closed": True}, {"date": "2027-06-10", "closed": True}]})
    annex = parse({"exceptions": [{"from": "2027-06-01", "to": "2027-06-09", "hours": [["10:00", "12:00"]]}]})

    calendar = resolve(province, annex)

    assert calendar.hours(date(2027, 6, 9)) == spans("10:00-12:00")
    assert calendar.hours(date(2027, 6, 10)) == ()
