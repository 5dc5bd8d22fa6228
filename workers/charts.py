"""Draw a Vega-Lite specification as one clean SVG in the house style, and keep both as evidence of a job.

The drawing is right alone, in print and in a PDF: its colours are plain attributes out of a small palette, each of
which the stylesheet maps for dark screens. It refers to nothing outside itself and holds no script and no inline style,
so a strict Content-Security-Policy lets it stand in a page as it is. The same specification gives the same bytes.

Write marks with the colours named here, put names into the data (never into field names, where Vega-Lite reads dots and
brackets), and leave the title out: the caption of a chart is a sentence in the page.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from workers.context import JobContext
from workers.protocol import canonical_json, digest_of_bytes

Spec = dict[str, Any]

INK = "#2b2d31"
INK_QUIET = "#5c6068"
AXIS = "#8a8d93"
GRID = "#e6e3db"
PAPER = "#fdfcfa"
BLUE = "#2f5d8a"
BLUE_MIDDLE = "#6f8fae"
BLUE_TINT = "#cfdbe7"
OCHRE = "#b0761a"
OCHRE_MIDDLE = "#cba768"
OCHRE_TINT = "#eddfc4"
GREY = "#b9bbc0"
GREY_MIDDLE = "#a9abb0"
FAILED = "#a8391a"
FAILED_TINT = "#f3e4dd"
PASSED = "#14695f"

#: Every colour that the stylesheet maps for dark screens.
PALETTE = frozenset(
    {INK, INK_QUIET, AXIS, GRID, PAPER, BLUE, BLUE_MIDDLE, BLUE_TINT, OCHRE, OCHRE_MIDDLE, OCHRE_TINT, GREY,
     GREY_MIDDLE, FAILED, FAILED_TINT, PASSED}
)  # fmt: skip
#: Low to high: five steps from ochre over grey to blue.
RAMP = (OCHRE, OCHRE_MIDDLE, GREY_MIDDLE, BLUE_MIDDLE, BLUE)
#: Below to above zero: seven steps from blue over paper to ochre, each darker the farther from zero.
DIVERGING = (BLUE, BLUE_MIDDLE, BLUE_TINT, PAPER, OCHRE_TINT, OCHRE_MIDDLE, OCHRE)

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
FONTS = "Segoe UI, Helvetica Neue, Liberation Sans, Noto Sans, Arial, system-ui, sans-serif"
_FONT_SIZE = 11.5

_AXIS_TEXT = {
    "labelFontSize": _FONT_SIZE,
    "titleFontSize": _FONT_SIZE,
    "titleFontWeight": "normal",
    "titleColor": INK_QUIET,
    "labelLimit": 220,
}
#: The house style; a specification's own `config` goes over it, key by key.
HOUSE_CONFIG: Spec = {
    "background": None,
    "font": "Liberation Sans, Arial, sans-serif",
    "view": {"stroke": None},
    "axis": {
        **_AXIS_TEXT,
        "labelColor": INK_QUIET,
        "domainColor": AXIS,
        "tickColor": AXIS,
        "tickSize": 4,
        "gridColor": GRID,
        "labelPadding": 4,
    },
    "axisX": {"grid": True, "titlePadding": 8},
    "axisY": {"grid": False, "titleAngle": 0, "titleAlign": "left", "titleAnchor": "end", "titleX": 0, "titleY": -10},
    "axisBand": {"domain": False, "ticks": False, "grid": False, "labelColor": INK},
    "legend": {
        "orient": "top",
        "direction": "horizontal",
        "labelFontSize": _FONT_SIZE,
        "titleFontSize": _FONT_SIZE,
        "titleFontWeight": "normal",
        "titleColor": INK_QUIET,
        "labelColor": INK_QUIET,
        "titleOrient": "left",
        # Room for who has wider letters than the renderer measured.
        "titlePadding": 12,
        "columnPadding": 18,
        "offset": 8,
        "symbolOpacity": 1,
        "symbolStrokeWidth": 1.6,
    },
    "header": {
        "labelFontSize": _FONT_SIZE,
        "titleFontSize": _FONT_SIZE,
        "labelColor": INK,
        "titleColor": INK_QUIET,
        "titleFontWeight": "normal",
        "labelFontWeight": "normal",
    },
    "mark": {"color": BLUE},
    "bar": {"color": BLUE_TINT},
    "rule": {"color": BLUE},
    "tick": {"color": BLUE},
    "line": {"color": BLUE, "strokeWidth": 2},
    "point": {"color": BLUE, "filled": True, "size": 40, "opacity": 1},
    "circle": {"color": BLUE, "opacity": 1},
    "text": {"color": INK, "fontSize": _FONT_SIZE},
    "range": {"category": [BLUE, OCHRE, GREY, PASSED, FAILED], "ordinal": list(RAMP), "diverging": list(DIVERGING)},
}

_NAMESPACE = "http://www.w3.org/2000/svg"
# fmt: off
_ELEMENTS = frozenset(
    {"svg", "g", "path", "line", "rect", "circle", "text", "tspan", "defs", "clipPath", "linearGradient", "stop"}
)
_NUMERIC_ATTRIBUTES = frozenset({"transform", "d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "offset"})
_ATTRIBUTES = _NUMERIC_ATTRIBUTES | frozenset(
    {"width", "height", "viewBox", "dx", "dy", "rx", "ry", "id", "clip-path", "stop-color", "gradientUnits",
     "text-anchor", "dominant-baseline", "font-size", "font-weight", "font-style", "fill", "fill-opacity", "stroke",
     "stroke-opacity", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity"}
)
# fmt: on
_INHERITED_DEFAULTS = frozenset(
    (("opacity", "1"), ("fill-opacity", "1"), ("stroke-opacity", "1"), ("rx", "0"), ("ry", "0"))
)
#: Characters that XML does not have; a column's name may hold them.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NUMBER = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?|-?\d+(?:\.\d+)?e-?\d+")
_RGB = re.compile(r"rgb\((\d+),\s*(\d+),\s*(\d+)\)")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


ElementTree.register_namespace("", _NAMESPACE)


class ChartError(ValueError):
    """A specification that cannot be drawn as a self-contained picture; the message says why."""


def house_spec(spec: Mapping[str, Any]) -> Spec:
    """Return a specification with the schema's address and the house style under its own `config`.

    Numbers that JSON does not have (NaN, infinities) become null, which Vega-Lite leaves out; characters that XML does
    not have are replaced.

    Raises:
        ChartError: the specification wants data from elsewhere, or is of types that JSON does not have.
    """
    plain = plain_json(spec)
    _refuse_addresses(plain)
    return {"$schema": SCHEMA, **plain, "config": _merged(HOUSE_CONFIG, plain.get("config", {}))}


def draw(spec: Mapping[str, Any]) -> str:
    """Draw a Vega-Lite specification as SVG text (``<svg class="chart" ...>``) in the house style.

    The sentence under ``description`` becomes the ``aria-label``. Nothing is fetched. Importing the renderer costs
    about 60 MB, so it happens here and not with this module.

    Raises:
        ChartError: the specification is not Vega-Lite, or the picture would refer to something outside itself.
    """
    complete = house_spec(spec)
    import vl_convert

    try:
        drawing = vl_convert.vegalite_to_svg(complete, allowed_base_urls=[])
    except ValueError as error:
        raise ChartError(f"The chart cannot be drawn: {str(error).strip().splitlines()[0]}") from error
    return _clean(drawing, label=str(complete.get("description", "")), prefix=_prefix(complete))


def draw_png(spec: Mapping[str, Any]) -> bytes:
    """Draw a Vega-Lite specification as a PNG picture in the house style, on paper, twice as large as its SVG.

    Raises:
        ChartError: the specification is not Vega-Lite, or wants data from elsewhere.
    """
    complete = house_spec(spec)
    complete["config"] = {**complete["config"], "background": PAPER}
    import vl_convert

    try:
        picture: bytes = vl_convert.vegalite_to_png(complete, scale=2, allowed_base_urls=[])
    except ValueError as error:
        raise ChartError(f"The chart cannot be drawn: {str(error).strip().splitlines()[0]}") from error
    return picture


def save_chart(
    context: JobContext,
    *,
    id: str,
    spec: Mapping[str, Any],
    caption: str,
    label: str,
    table: Mapping[str, Any],
) -> dict[str, Any]:
    """Write ``<id>.svg`` and ``<id>.vl.json`` among a job's outputs and return the chart as a result tells it.

    ``caption`` is a sentence that says what one sees, ``label`` the sentence for who cannot see it, ``table`` the
    numbers: ``{"columns": [...], "rows": [[...], ...]}``.

    Raises:
        ChartError: the table is not rectangular, or the specification cannot be drawn.
    """
    columns, rows = list(table["columns"]), [list(row) for row in table["rows"]]
    for number, row in enumerate(rows):
        if len(row) != len(columns):
            raise ChartError(
                f"Row {number} of the table of chart {id!r} has {len(row)} cells for {len(columns)} columns."
            )
    complete = house_spec({**spec, "description": label})
    svg, document = f"{id}.svg", f"{id}.vl.json"
    context.output(svg).write_text(draw(complete), encoding="utf-8")
    context.output(document).write_text(
        json.dumps(complete, ensure_ascii=False, allow_nan=False, indent=1) + "\n", encoding="utf-8"
    )
    return {
        "id": id,
        "caption": caption,
        "label": label,
        "svg": svg,
        "spec": document,
        "table": {"columns": columns, "rows": plain_json(rows)},
    }


def plain_json(value: Any) -> Any:
    """Return a value as JSON has it: NumPy numbers as Python's, tuples as lists, NaN and infinities as null.

    Raises:
        ChartError: for a type that JSON does not have.
    """
    if isinstance(value, str):
        return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain_json(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain_json(entry) for entry in value]
    if callable(getattr(value, "tolist", None)):
        return plain_json(value.tolist())
    raise ChartError(f"A chart cannot hold {value!r} of type {type(value).__name__}; it holds what JSON has.")


def _refuse_addresses(value: Any) -> None:
    """Refuse data that lie elsewhere and marks that show pictures by address."""
    if isinstance(value, dict):
        data, mark = value.get("data"), value.get("mark")
        if isinstance(data, dict) and "url" in data:
            raise ChartError("The chart names data by address; a chart carries its data with it, under `data.values`.")
        if (mark.get("type") if isinstance(mark, dict) else mark) == "image":
            raise ChartError("The chart has an image mark, which shows a picture by address.")
        for key, entry in value.items():
            if key not in ("values", "datasets"):
                _refuse_addresses(entry)
    elif isinstance(value, list):
        for entry in value:
            _refuse_addresses(entry)


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> Spec:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _prefix(spec: Spec) -> str:
    """Return what makes the ids of one drawing unlike those of another on the same page."""
    return "c" + digest_of_bytes(canonical_json(spec)).removeprefix("sha256:")[:10]


def _clean(drawing: str, *, label: str, prefix: str) -> str:
    """Reduce the renderer's SVG to known elements and plain attributes, with short numbers and ids of its own."""
    if "<!" in drawing:
        raise ChartError("The drawing holds a document type or a comment.")
    root = ElementTree.fromstring(drawing)  # noqa: S314 (our own renderer's output, without a document type)
    names: dict[str, str] = {}
    for element in root.iter():
        if "id" in element.attrib:
            names[element.attrib["id"]] = f"{prefix}-{len(names)}"
    _clean_element(root, names)
    root.attrib = {
        "class": "chart",
        "role": "img",
        **({"aria-label": label} if label else {}),
        **{key: root.attrib[key] for key in ("width", "height", "viewBox")},
        "font-family": FONTS,
    }
    return ElementTree.tostring(root, encoding="unicode")


def _clean_element(element: ElementTree.Element, names: Mapping[str, str]) -> None:
    name = element.tag.removeprefix(f"{{{_NAMESPACE}}}")
    if name not in _ELEMENTS:
        raise ChartError(f"The drawing holds an element {name!r}, which a self-contained chart does not.")
    element.attrib = _plain_attributes(element.attrib, names)
    for child in list(element):
        if _is_invisible(child):
            element.remove(child)
        else:
            _clean_element(child, names)


def _is_invisible(element: ElementTree.Element) -> bool:
    """Tell whether an element draws nothing: hidden (a label that overlaps), or an empty background."""
    attributes = element.attrib
    if attributes.get("display") == "none" or attributes.get("opacity") == "0":
        return True
    is_background = attributes.get("class") in ("background", "foreground")
    return is_background and attributes.get("fill", "none") == "none" and attributes.get("stroke", "none") == "none"


def _plain_attributes(attributes: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    styled = dict(attributes)
    for declaration in styled.pop("style", "").split(";"):
        key, _, value = declaration.partition(":")
        if value:
            styled[key.strip()] = value.strip()
    plain = {}
    for key, value in styled.items():
        if (
            key not in _ATTRIBUTES
            or (key, value) in _INHERITED_DEFAULTS
            or (key, value) == ("transform", "translate(0,0)")
        ):
            continue
        if key in _NUMERIC_ATTRIBUTES:
            value = _NUMBER.sub(lambda match: _short(float(match[0])), value)
        elif key == "id":
            value = names[value]
        value = _RGB.sub(lambda match: "#" + "".join(f"{int(part):02x}" for part in match.groups()), value)
        if "url(" in value:
            reference = _REFERENCE.fullmatch(value)
            if reference is None or reference[1] not in names:
                raise ChartError(f"The drawing refers to {value!r}, which lies outside it.")
            value = f"url(#{names[reference[1]]})"
        plain[key] = value
    return plain


def _short(number: float) -> str:
    text = f"{number:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
