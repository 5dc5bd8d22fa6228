"""Charts: one specification, one clean SVG that a strict Content-Security-Policy and a closed network let through."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from workers.charts import BLUE, BLUE_TINT, PALETTE, RAMP, ChartError, draw, house_spec, save_chart
from workers.context import JobContext
from workers.protocol import JobSpec


def bars(*names: str) -> dict[str, object]:
    return {
        "width": 300,
        "height": 80,
        "data": {"values": [{"name": name, "value": 0.1 * (place + 1)} for place, name in enumerate(names)]},
        "layer": [
            {
                "mark": "bar",
                "encoding": {"x": {"field": "value", "type": "quantitative", "title": "mean |attribution|"}},
            },
            {"mark": {"type": "text", "dx": 8}, "encoding": {"x": {"field": "value", "type": "quantitative"}}},
            {
                "mark": {"type": "point", "clip": True},
                "encoding": {
                    "x": {"field": "value", "type": "quantitative"},
                    "color": {"field": "value", "type": "quantitative", "scale": {"range": [RAMP[0], RAMP[-1]]}},
                },
            },
        ],
        "encoding": {"y": {"field": "name", "type": "nominal", "title": None}},
    }


@pytest.fixture
def context(tmp_path: Path) -> JobContext:
    return JobContext(JobSpec(kind="explanation", runner="x:run", job_id=1, attempt=1), tmp_path)


def test_the_drawing_has_no_script_style_class_or_outside_reference() -> None:
    drawing = draw(bars("age", "income"))
    root = ElementTree.fromstring(drawing)
    for element in root.iter():
        assert element.tag.split("}")[1] not in ("script", "style", "image", "a", "use", "foreignObject")
        for key, value in element.attrib.items():
            assert key not in ("style", "href", "onload", "{http://www.w3.org/1999/xlink}href")
            assert "http" not in value
    assert re.findall(r'class="[^"]*"', drawing) == ['class="chart"']
    identifiers = {element.attrib["id"] for element in root.iter() if "id" in element.attrib}
    assert identifiers, "the clipped layer and the gradient have ids, or this test shows nothing"
    assert set(re.findall(r"url\(#([^)]+)\)", drawing)) == identifiers


def test_colours_are_plain_attributes_of_the_palette() -> None:
    spec = bars("age", "income")
    spec["layer"] = spec["layer"][:2]  # type: ignore[index]
    colours = set(re.findall(r'(?:fill|stroke)="([^"]+)"', draw(spec))) - {"none"}
    assert BLUE_TINT in colours
    assert colours <= PALETTE


def test_interpolated_colours_are_written_in_hexadecimal_digits() -> None:
    drawing = draw(bars("age", "income"))
    assert "rgb(" not in drawing
    assert f'fill="{BLUE}"' in drawing


def test_the_same_specification_gives_the_same_bytes_in_another_process() -> None:
    spec = bars("age", "income", "a<b&\"c'")
    script = (
        "import json, sys; from workers.charts import draw; draw({'mark': 'bar'}); print(draw(json.loads(sys.argv[1])))"
    )
    root = Path(__file__).parents[2]
    other = subprocess.run(
        [sys.executable, "-c", script, json.dumps(spec)], capture_output=True, text=True, check=True, cwd=root
    )
    assert other.stdout.rstrip("\n") == draw(spec)


def test_two_drawings_of_a_page_share_no_id() -> None:
    first, second = (set(re.findall(r' id="([^"]+)"', draw(bars(name)))) for name in ("age", "income"))
    assert first
    assert not first & second


def test_markup_in_names_is_text() -> None:
    drawing = draw({**bars("<script>alert(1)</script>"), "description": 'say "<b>"'})
    texts = [element.text for element in ElementTree.fromstring(drawing).iter()]
    assert "<script>alert(1)</script>" in texts
    assert "<script" not in drawing
    assert ElementTree.fromstring(drawing).attrib["aria-label"] == 'say "<b>"'


def test_characters_that_xml_lacks_do_not_break_a_chart() -> None:
    drawing = draw(bars("a\x00b\ud800"))
    assert "a\ufffdb\ufffd" in drawing


def test_a_style_attribute_of_the_renderer_becomes_plain_attributes() -> None:
    from workers.charts import _clean

    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" viewBox="0 0 9 9">'
        '<path style="fill: rgb(47, 93, 138); cursor: pointer; stroke-width: 2" d="M0.123456,1e-17L2,-0.0001"/></svg>'
    )
    path = ElementTree.fromstring(_clean(drawing, label="", prefix="c"))[0]
    assert path.attrib == {"d": "M0.12,0L2,0", "fill": BLUE, "stroke-width": "2"}


@pytest.mark.parametrize(
    "hostile",
    [
        {"data": {"url": "https://example.org/x.csv"}, "mark": "bar"},
        {
            "layer": [
                {
                    "mark": "bar",
                    "transform": [{"lookup": "a", "from": {"data": {"url": "file:///etc/passwd"}, "key": "a"}}],
                }
            ]
        },
        {
            "data": {"values": [{"u": "https://example.org/x.png"}]},
            "mark": "image",
            "encoding": {"url": {"field": "u"}},
        },
        {
            "data": {"values": [{"u": "https://example.org/"}]},
            "mark": "bar",
            "encoding": {"href": {"field": "u"}, "x": {"field": "u"}},
        },
    ],
)
def test_what_lies_elsewhere_is_refused(hostile: dict[str, object]) -> None:
    with pytest.raises(ChartError):
        draw(hostile)


def test_what_is_not_a_chart_is_refused_with_a_sentence() -> None:
    with pytest.raises(ChartError, match="cannot be drawn"):
        draw(
            {"mark": "bar", "data": {"values": []}, "encoding": {"x": {"field": 5, "aggregate": {"x": []}}}, "layer": 4}
        )


def test_numbers_that_json_lacks_become_null() -> None:
    numpy = pytest.importorskip("numpy")
    spec = house_spec(
        {"mark": "bar", "data": {"values": [{"a": float("nan"), "b": numpy.float32("inf"), "c": numpy.arange(2)}]}}
    )
    assert spec["data"]["values"] == [{"a": None, "b": None, "c": [0, 1]}]
    with pytest.raises(ChartError, match="type object"):
        house_spec({"data": object()})


def test_the_own_config_of_a_specification_goes_over_the_house_style() -> None:
    spec = house_spec({"mark": "bar", "config": {"axis": {"tickSize": 9}}})
    assert spec["config"]["axis"]["tickSize"] == 9
    assert spec["config"]["axis"]["gridColor"] == "#e6e3db"


def test_saving_writes_both_files_and_tells_the_chart(context: JobContext) -> None:
    table = {"columns": ["feature", "value"], "rows": [("age", float("nan")), ["income", 0.2]]}
    chart = save_chart(
        context, id="importance", spec=bars("age"), caption="Age leads.", label="Bars; age leads.", table=table
    )
    assert chart == {
        "id": "importance",
        "caption": "Age leads.",
        "label": "Bars; age leads.",
        "svg": "importance.svg",
        "spec": "importance.vl.json",
        "table": {"columns": ["feature", "value"], "rows": [["age", None], ["income", 0.2]]},
    }
    drawing = (context.folder / "outputs" / "importance.svg").read_text(encoding="utf-8")
    assert 'aria-label="Bars; age leads."' in drawing
    assert draw(json.loads((context.folder / "outputs" / "importance.vl.json").read_text(encoding="utf-8"))) == drawing


def test_a_ragged_table_is_refused(context: JobContext) -> None:
    with pytest.raises(ChartError, match=r"Row 1 .* has 1 cells for 2 columns"):
        save_chart(
            context, id="x", spec=bars("a"), caption="", label="", table={"columns": ["a", "b"], "rows": [[1, 2], [1]]}
        )


def test_the_renderer_is_not_imported_with_the_module() -> None:
    script = "import sys, workers.charts; print(sorted(set(sys.modules) & {'vl_convert', 'altair', 'numpy'}))"
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert answer.stdout.strip() == "[]"
