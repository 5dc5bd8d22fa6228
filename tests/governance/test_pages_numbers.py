"""How numbers, sizes, times, conditions and marks are written."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from governance.presentation import marks, numbers, small
from governance.templatetags.assay import noted, ticked

NB = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (5882, "5,882"),
        (-0.006, "−0.00600"),
        (0.2618, "0.262"),
        (1234.5, "1,234"),
        (0.000031, f"3.1{NB}×{NB}10⁻⁵"),
        (-0.0000001, f"−1.0{NB}×{NB}10⁻⁷"),
        (None, "–"),
        (True, "–"),
        (float("nan"), "–"),
        ("12", "–"),
    ],
)
def test_numbers(value: object, written: str) -> None:
    assert numbers.number(value) == written


@pytest.mark.parametrize(
    ("value", "low", "high", "written"),
    [
        (0.26187, 0.2231, 0.3012, "0.262 (0.223 to 0.301), n = 742"),
        (0.82913, 0.8151, 0.8429, "0.829 (0.815 to 0.843), n = 742"),
        (-0.00612, -0.01214, 0.00131, "−0.006 (−0.012 to 0.001), n = 742"),
        (0.41, 0.33, 0.49, "0.41 (0.33 to 0.49), n = 742"),
        (12.3, 4.0, 21.0, "12 (4 to 21), n = 742"),
        (0.5, None, None, "0.500, n = 742"),
        (None, None, None, "–, n = 742"),
    ],
)
def test_a_metric_has_as_many_digits_as_its_interval_supports(value, low, high, written: str) -> None:
    metric = {"name": "x", "value": value, "low": low, "high": high, "n": 742, "unit": ""}

    assert numbers.metric_with_interval(metric) == written


def test_a_unit_stands_with_its_number() -> None:
    assert numbers.value_of_metric({"value": 3, "low": None, "high": None, "unit": "bits"}) == f"3{NB}bits"
    assert numbers.value_of_metric({"value": 0.25, "low": None, "high": None, "unit": "share"}) == "0.250"


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"max": 0.1, "high_above": 0.2}, f"≤{NB}0.10; high above 0.20"),
        ({"min": 0.5, "high_below": 0.25}, f"≥{NB}0.50; high below 0.25"),
        ({"max": 0}, f"≤{NB}0"),
        ({"max": 0.0001}, f"≤{NB}0.0001"),
        ({}, "reported"),
        (None, "reported"),
        ({"all_within": True}, "all within"),
    ],
)
def test_conditions(condition, words: str) -> None:
    assert numbers.condition_words(condition) == words


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.004, f"4{NB}ms"), (1.31, f"1.3{NB}s"), (47, f"47{NB}s"), (260, f"4{NB}min 20{NB}s"), (2820, f"47{NB}min"),
     (7260, f"2{NB}h 1{NB}min"), (None, "–")],
)  # fmt: skip
def test_durations(seconds, written: str) -> None:
    assert numbers.duration(seconds) == written


@pytest.mark.parametrize(
    ("size", "written"),
    [(100, f"100{NB}bytes"), (1500, f"1.5{NB}kB"), (214_000, f"214{NB}kB"), (8_100_000_000, f"8.1{NB}GB")],
)
def test_sizes(size: int, written: str) -> None:
    assert numbers.size(size) == written


def test_moments_are_in_utc() -> None:
    moment = datetime.fromisoformat("2026-11-12T01:40:00+02:00")

    assert numbers.moment_of(moment) == f"11{NB}Nov{NB}2026, 23:40{NB}UTC"
    assert numbers.day(datetime(2026, 11, 12, tzinfo=UTC)) == f"12{NB}Nov{NB}2026"


@pytest.mark.parametrize(
    ("value", "written"), [(0.5, f"50.0{NB}%"), (0.0004, f"0.04{NB}%"), (0.9999, f"99.99{NB}%"), (1, f"100.0{NB}%")]
)
def test_shares_near_an_end_are_told_from_none_and_all(value: float, written: str) -> None:
    assert numbers.share(value) == written


def test_every_mark_has_a_shape_and_a_word_and_an_unknown_state_is_not_hidden() -> None:
    assert str(marks.status_span("failed")) == (
        '<span class="st failed"><svg aria-hidden="true"><use href="#m-failed"/></svg>failed</span>'
    )
    assert "brand new" in marks.status_span("brand_new")
    assert "&lt;b&gt;" in marks.status_span("<b>")
    assert "&lt;b&gt;" in marks.severity_span("<b>")
    assert marks.severity_span("") == ""


def test_a_histogram_draws_one_bar_a_bin_and_nothing_for_identifiers() -> None:
    bins = {"histogram": [{"low": 0, "high": 1, "count": 2}, {"low": 1, "high": 2, "count": 4}]}
    different = {"values": [{"value": name, "count": 1} for name in "abc"]}

    drawn = small.histogram_svg(bins)

    assert drawn.count("<rect") == 2
    assert 'height="24"' in drawn
    assert 'height="12"' in drawn
    assert small.histogram_svg(different) == ""
    assert small.histogram_svg({"histogram": [{"count": "<script>"}]}) == ""


def test_an_interval_is_drawn_against_its_limit_on_the_side_that_fails() -> None:
    fails = small.interval_svg({"value": 0.3, "low": 0.2, "high": 0.4}, {"max": 0.1})
    passes = small.interval_svg({"value": 0.9, "low": 0.8, "high": 0.95}, {"min": 0.5})

    assert small.FAILED in fails
    assert small.FAILED not in passes
    assert small.FAILED_TINT in passes
    assert small.interval_svg({"value": None}, {"max": 0.1}) == ""
    assert small.interval_svg({"value": 0.5}, {}) == ""


DIGEST = "sha256:" + "ab" * 32


def test_what_an_event_notes_is_written_as_words_with_short_digests() -> None:
    assert 'title="sha256:abab' in noted({"audit:3": DIGEST})
    assert noted({"audit:3": DIGEST}).startswith('audit:3 <span class="digest"')
    assert DIGEST not in noted([DIGEST]).replace(f'title="{DIGEST}"', "")
    assert noted({}) == noted([]) == "none"
    assert noted("<b>") == "<b>", "text is left to the template to escape"
    assert noted({"a": "<b>"}) == "a &lt;b&gt;"
    assert noted("x" * 400).endswith("…")


def test_backticks_become_code_and_a_number_keeps_its_per_cent_sign() -> None:
    assert ticked("role `a<b`, 95 % of rows") == f"role <code>a&lt;b</code>, 95{NB}% of rows"
