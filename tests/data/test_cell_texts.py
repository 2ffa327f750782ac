import numpy as np
import pytest

from jumok.data.cell_texts import read_compact_dates, read_dates, read_numbers


def cells(*texts):
    return np.array(texts, dtype=object)


@pytest.mark.parametrize(
    ("texts", "values", "how"),
    [
        (("1", "-2.5", "1e3"), [1, -2.5, 1000], ""),
        (("1,5", "-20"), [1.5, -20], "decimal comma"),
        ((",5", "1,25"), [0.5, 1.25], "decimal comma"),
        (("1.234,5", "3"), [1234.5, 3], "decimal comma"),
        (("0,123", "1,234"), [0.123, 1.234], "decimal comma"),  # nothing begins with 0 and goes on with thousands
        (("1,234", "5"), [1234, 5], "commas between thousands"),
        (("1,234.5", "1,000,000"), [1234.5, 1e6], "commas between thousands"),
        (("1 234", "12\u00a0345 678"), [1234, 12345678], ""),
        (("12%", "3 %"), [12, 3], "without %"),
        (("12 mm", "3mm"), [12, 3], "without mm"),
        (("36.5 °C", "37 °C"), [36.5, 37], "without °C"),
        (("\u22121.5", "2"), [-1.5, 2], ""),
        (("１，２００．５", "－３"), [1200.5, -3], "commas between thousands"),
        (("١٢", "٣"), [12, 3], ""),
        (("€ 1.200,50", "€3"), [1200.5, 3], "decimal comma, without €"),
    ],
)
def test_numbers_in_the_ways_that_people_write_them(texts, values, how):
    reading = read_numbers(cells(*texts))
    assert reading.values.tolist() == values
    assert reading.how == how


@pytest.mark.parametrize(
    "texts", [("A12",), ("1", "?"), ("12%", "3"), ("1,2,3",), ("1-2",), ("1", "10²"), ("",), ("12 mm", "3 kg"), ()]
)
def test_what_is_no_number_is_none(texts):
    assert read_numbers(cells(*texts)) is None


def test_the_decimal_mark_decides_where_both_ways_fit():
    assert read_numbers(cells("1,234"), ",").values.tolist() == [1.234]
    assert read_numbers(cells("1,234"), ".").values.tolist() == [1234]
    assert read_numbers(cells("1,5"), ".") is None


@pytest.mark.parametrize(
    ("texts", "days", "how"),
    [
        (("2024-01-02", "2024-03-01 12:00"), [0, 59.5], "year-month-day"),
        (("2024-01-02T06:00:00Z",), [0.25], "year-month-day"),
        (("13/4/2024", "12/1/2024"), [92, 0], "day/month/year"),
        (("4/13/2024", "1/12/2024"), [92, 0], "month/day/year"),
        (("02 Jan 2024", "03 Feb 2024"), [0, 32], "day month year"),
        (("2024년 1월 2일", "2024년 1월 5일"), [0, 3], "year 년 month 월 day 일"),
        (("2.1.2024 18:00", "3.1.2024 00:00"), [0.75, 1], "day.month.year"),
        (("2024-01-02 12:00 PM", "2024-01-03 6:00 AM"), [0.5, 1.25], "year-month-day"),
        (("2024.01.02.", "2024.1.5."), [0, 3], "year.month.day."),
        (("12:30", "06:00"), [12.5 / 24, 0.25], "time of day"),
    ],
)
def test_dates_are_days_since_the_first(texts, days, how):
    reading = read_dates(cells(*texts))
    assert reading.values.tolist() == pytest.approx(days)
    assert reading.how.startswith(how + ",")


def test_a_doubt_about_day_and_month_is_told():
    assert "month/day/year" in read_dates(cells("3/4/2024", "12/1/2024")).doubt
    assert not read_dates(cells("13/4/2024")).doubt


@pytest.mark.parametrize("texts", [("P-001", "P-002"), ("1-2", "3-4"), ("10-20",), ("hello",), ("2024-13-01",), ()])
def test_what_is_no_date_is_none(texts):
    assert read_dates(cells(*texts)) is None


def test_whole_numbers_as_dates():
    assert read_compact_dates(np.array([20240131.0, 20240201.0])).values.tolist() == [0, 1]
    assert read_compact_dates(np.array([20240131.0, 20240132.0])) is None
    assert read_compact_dates(np.array([12.0])) is None
