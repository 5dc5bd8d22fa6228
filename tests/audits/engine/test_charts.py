"""Charts of explanations: what is drawn, and sentences that follow from the numbers."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from audits.engine import captions, charts
from workers.charts import BLUE, DIVERGING, OCHRE, PALETTE, draw

ENTRY = {
    "base": -1.73,
    "values": [0.91, 0.84, -0.21, 0.0, 0.05, -0.02, 0.03, 0.01, 0.01, 0.01],
    "errors": [0.01] * 10,
    "data": [0.93, 2.0, 31200.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0],
}
NAMES = ["utilisation", "delinquencies", "income", "d", "e", "f", "g", "h", "i", "j"]
IMPORTANCE = [
    {"feature": name, "value": value, "low": value * 0.9, "high": value * 1.1}
    for name, value in (("utilisation", 0.4), ("debt", 0.3), ("age", 0.2), ("income", 0.1))
]


def texts(drawing: str) -> list[str]:
    return [element.text for element in ElementTree.fromstring(drawing).iter() if element.text]


def every_spec() -> dict[str, dict[str, object]]:
    features = [{"feature": "a.b[0]", "values": [-1.0, 0.0, 1.0, 2.0], "data": [1.0, 2.0, None, 4.0]}]
    return {
        "importance": charts.importance_spec(IMPORTANCE, unit="logit"),
        "importance without intervals": charts.importance_spec(
            [{**entry, "low": None, "high": None} for entry in IMPORTANCE], unit="logit"
        ),
        "importance of nothing": charts.importance_spec(
            [{"feature": "a", "value": 0.0, "low": 0.0, "high": 0.0}], unit="logit"
        ),
        "beeswarm": charts.beeswarm_spec(features, unit="logit"),
        "beeswarm of nothing": charts.beeswarm_spec([{"feature": "a", "values": [0.0], "data": [0.0]}], unit="logit"),
        "waterfall": charts.waterfall_spec(ENTRY, feature_names=NAMES, unit="logit", towards="default"),
        "waterfall of nothing": charts.waterfall_spec(
            {"base": 0.0, "values": [0.0], "errors": [0.0], "data": [0.0]}, feature_names=["a"], unit="logit"
        ),
        "heat map": charts.heatmap_spec([{"title": "a", "values": [-1.0, 0.0, 0.5, 1.0]}], grid=(2, 2), unit="logit"),
        "heat map of nothing": charts.heatmap_spec([{"title": "a", "values": [0.0] * 4}], grid=(2, 2), unit="logit"),
    }


@pytest.mark.parametrize("name", every_spec())
def test_every_chart_is_drawn_in_colours_that_the_stylesheet_knows(name: str) -> None:
    drawing = draw(every_spec()[name])
    colours = set(re.findall(r'(?:fill|stroke)="([^"]+)"', drawing)) - {"none"}
    assert colours
    assert colours <= PALETTE
    assert "NaN" not in drawing
    assert "undefined" not in drawing


@pytest.mark.parametrize("name", every_spec())
def test_every_chart_may_stand_in_a_page(name: str) -> None:
    from governance.presentation.svg import clean_svg

    drawing = draw(every_spec()[name])
    assert clean_svg(drawing.encode()) == drawing


def test_importance_bars_stand_in_order_with_their_numbers() -> None:
    shown = texts(draw(charts.importance_spec(IMPORTANCE, unit="logit")))
    names = [text for text in shown if text in {entry["feature"] for entry in IMPORTANCE}]
    assert names == ["utilisation", "debt", "age", "income"]
    assert {"0.400", "0.300", "0.200", "0.100", "mean |attribution|, logit"} <= set(shown)


def test_a_waterfall_goes_from_base_to_score_and_names_what_is_left_over() -> None:
    spec = charts.waterfall_spec(ENTRY, feature_names=NAMES, unit="log-odds of default", towards="default", limit=4)
    steps = spec["layer"][-1]["data"]["values"]
    assert [step["name"] for step in steps] == [
        "utilisation = 0.93",
        "delinquencies = 2",
        "income = 31,200",
        "7 other features",
    ]
    assert steps[0]["start"] == pytest.approx(-1.73)
    assert steps[-1]["end"] == pytest.approx(-1.73 + sum(ENTRY["values"]))
    for before, after in itertools.pairwise(steps):
        assert after["start"] == pytest.approx(before["end"])
    drawing = draw(spec)
    assert {"base −1.73", "this row −0.10", "+0.91", "−0.21", "+ towards default", "− away from it"} <= set(
        texts(drawing)
    )
    assert f'fill="{OCHRE}"' in drawing
    assert f'fill="{BLUE}"' in drawing


def test_a_waterfall_of_few_features_has_no_others() -> None:
    entry = {"base": 0.0, "values": [1.0, -2.0], "errors": [0, 0], "data": [1.0, "red"]}
    steps = charts.waterfall_spec(entry, feature_names=["a", "b"], unit="y")["layer"][-1]["data"]["values"]
    assert [step["name"] for step in steps] == ["b = red", "a = 1"]


def test_heat_is_the_same_on_both_sides_of_zero_and_the_ends_are_named() -> None:
    drawing = draw(charts.heatmap_spec([{"title": "t", "values": [-2.0, 2.0, 0.0, 0.1]}], grid=(2, 2), unit="logit"))
    assert {"−2.00", "0", "+2.00", "attribution, logit"} <= set(texts(drawing))
    cells = charts.heatmap_spec([{"title": "t", "values": [-2.0, 2.0, 0.0, 0.1]}], grid=(2, 2), unit="logit")
    steps = [cell["step"] for cell in cells["vconcat"][1]["concat"][0]["data"]["values"]]
    assert steps == [0, len(DIVERGING) - 1, len(DIVERGING) // 2, len(DIVERGING) // 2]


def test_panels_share_one_scale_and_a_picture_has_its_own() -> None:
    spec = charts.heatmap_spec(
        [
            {"title": "image", "values": [0.0, 16.0], "picture": True},
            {"title": "one", "values": [1.0, 0.0]},
            {"title": "two", "values": [10.0, 0.0]},
        ],
        grid=(1, 2),
        unit="logit",
    )
    picture, one, two = spec["vconcat"][1]["concat"]
    assert [cell["step"] for cell in picture["data"]["values"]] == [0, 5]
    assert one["data"]["values"][0]["step"] == len(DIVERGING) // 2
    assert two["data"]["values"][0]["step"] == len(DIVERGING) - 1


def test_points_of_a_swarm_keep_their_value_and_stay_within_their_band() -> None:
    values = [0.001 * place for place in range(80)]
    wide = {"feature": "b", "values": [1.0], "data": [1.0]}
    spec = charts.beeswarm_spec([{"feature": "a", "values": values, "data": values}, wide], unit="y")
    points = spec["layer"][-1]["data"]["values"][:80]
    assert [point["value"] for point in points] == values
    offsets = {point["offset"] for point in points}
    assert len(offsets) > 3
    assert max(map(abs, offsets)) <= 15.5
    assert [points[0]["step"], points[40]["step"], points[-1]["step"]] == [0, 2, 4]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([5, 3, 2, 1, 1], "Two features carry 67 % of the attribution."),
        ([9, 1, 1], "One feature, f0, carries 82 % of the attribution."),
        ([1] * 30, "15 features carry 50 % of the attribution."),
        ([0, 0], "No feature changes the score."),
    ],
)
def test_the_caption_of_importance_counts_what_carries_half(values: list[float], sentence: str) -> None:
    importance = [{"feature": f"f{place}", "value": float(value)} for place, value in enumerate(values)]
    caption = captions.importance_caption(importance, row_count=1234)
    assert caption.startswith(sentence)
    assert "over 1,234 rows; lines are 95 % intervals" in caption


def test_the_caption_of_one_row_claims_no_interval() -> None:
    assert captions.importance_caption(IMPORTANCE, row_count=1).endswith("Mean size over 1 row.")


def test_the_caption_of_a_beeswarm_tells_direction_by_rank() -> None:
    rising = {"feature": "debt", "values": [1.0, 2.0, 9.0], "data": [1.0, 2.0, 3.0]}
    falling = {"feature": "income", "values": [3.0, 2.0, 1.0], "data": [1.0, 2.0, 3.0]}
    flat = {"feature": "age", "values": [1.0, 0.0, 1.0], "data": [1.0, 2.0, 3.0]}

    def caption(*features: dict[str, object]) -> str:
        return captions.beeswarm_caption(features, towards="default", row_count=3, feature_count=7)

    assert caption(rising, falling, flat) == (
        "High debt pushes towards default, high income away from it. 3 rows, 3 features of 7."
    )
    assert caption(falling).startswith("High income pushes away from default.")
    assert caption(rising, rising).startswith("High debt and debt push towards default.")
    assert caption(flat).startswith("No feature shown pushes one way")


def test_the_caption_of_a_waterfall_names_the_two_largest() -> None:
    caption = captions.waterfall_caption(ENTRY, feature_names=NAMES, unit="log-odds of default")
    assert caption == (
        "The log-odds of default is −0.10 (base −1.73), mainly for utilisation = 0.93 (+0.91) and delinquencies = 2 "
        "(+0.84). Standard error of each value at most 0.01."
    )


def test_the_table_of_a_waterfall_holds_every_feature() -> None:
    table = charts.waterfall_table(ENTRY, feature_names=NAMES)
    assert [row[0] for row in table["rows"]][:3] == ["utilisation", "delinquencies", "income"]
    assert len(table["rows"]) == 10
    assert {len(row) for row in table["rows"]} == {len(table["columns"])}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (31200.0, "31,200"),
        (0.934, "0.934"),
        (-2.0, "−2"),
        (0.00001234, "1.23e−05"),
        (1234.56, "1,235"),
        (None, "missing"),
    ],
)
def test_numbers_are_written_as_people_do(value: float | None, text: str) -> None:
    assert captions.plain_number(value) == text


def test_signed_numbers_have_a_true_minus_and_zero_has_no_sign() -> None:
    assert [captions.signed(value, 2) for value in (1.0, -1.0, 0.0, -0.001)] == ["+1.00", "−1.00", "0.00", "0.00"]


def test_rank_correlation_agrees_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    first, second = [3.0, 1.0, 2.0, 2.0, 5.0, 5.0], [1.0, 2.0, 2.0, 4.0, 3.0, 9.0]
    assert captions.rank_correlation(first, second) == pytest.approx(stats.spearmanr(first, second).statistic)
    assert captions.rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None


def test_pages_can_draw_without_a_numeric_library() -> None:
    script = (
        "import sys; from audits.engine import captions, charts; "
        "print(sorted({name.split('.')[0] for name in sys.modules} & "
        "{'numpy', 'pyarrow', 'torch', 'tensorflow', 'shap', 'vl_convert', 'django'}))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    assert answer.stdout.strip() == "[]"
