"""Let a stored drawing stand inside a page, or refuse it: a child made it, and a child is not trusted.

Drawings are inlined so that the stylesheet can map their colours for dark screens. That makes them part of the page, so
every element, every attribute and every value has to be on a list; one that is not refuses the whole drawing, visibly,
rather than being cut out of it in silence.
"""

from __future__ import annotations

import re
from functools import lru_cache
from xml.etree import ElementTree

from django.utils.safestring import SafeString, mark_safe

from governance.storage import store

MAX_BYTES = 4 * 1024 * 1024
MAX_ELEMENTS = 60_000
MAX_DEPTH = 40

_NAMESPACE = "{http://www.w3.org/2000/svg}"
# fmt: off
_ELEMENTS = frozenset(
    {"svg", "g", "path", "line", "rect", "circle", "ellipse", "polygon", "polyline", "text", "tspan", "defs",
     "clipPath", "linearGradient", "stop"}
)
_LENGTH_ATTRIBUTES = frozenset(
    {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "ry", "dx", "dy", "width", "height", "offset", "opacity",
     "fill-opacity", "stroke-opacity", "stop-opacity", "stroke-width", "stroke-dashoffset", "stroke-miterlimit"}
)
_WORD_ATTRIBUTES = frozenset(
    {"text-anchor", "dominant-baseline", "alignment-baseline", "font-style", "stroke-linecap", "stroke-linejoin",
     "fill-rule", "clip-rule", "gradientUnits", "clipPathUnits", "preserveAspectRatio"}
)
# fmt: on

_NUMBER = r"-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_LENGTH = re.compile(rf"{_NUMBER}(?:px|em|%)?")
_NUMBERS = re.compile(rf"{_NUMBER}(?:[\s,]+{_NUMBER})*")
_PATH = re.compile(r"[MmLlHhVvCcSsQqTtAaZz0-9eE\s,.+-]*")
_TRANSFORM = re.compile(r"(?:(?:translate|rotate|scale|matrix|skewX|skewY)\([-+0-9eE.,\s]+\)[\s,]*)*")
_PAINT = re.compile(r"none|currentColor|transparent|#[0-9a-fA-F]{3,8}|url\(#c[0-9a-f]{10}-\d+\)")
_IDENTIFIER = re.compile(r"c[0-9a-f]{10}-\d+")
_LOCAL = re.compile(r"url\(#c[0-9a-f]{10}-\d+\)|none")
_WORD = re.compile(r"[a-zA-Z-]{1,40}")
_FONT_SIZE = re.compile(r"\d+(?:\.\d+)?(?:px)?")
_FONT_WEIGHT = re.compile(r"normal|bold|[1-9]00")
_FONTS = re.compile(r"[A-Za-z0-9 ,\"'-]{1,300}")
_TEXT = re.compile(r".{0,2000}", re.DOTALL)

_ATTRIBUTES: dict[str, re.Pattern[str]] = {
    **dict.fromkeys(_LENGTH_ATTRIBUTES, _LENGTH),
    **dict.fromkeys(_WORD_ATTRIBUTES, _WORD),
    **dict.fromkeys(["viewBox", "stroke-dasharray", "points"], _NUMBERS),
    **dict.fromkeys(["fill", "stroke", "stop-color"], _PAINT),
    "d": _PATH,
    "transform": _TRANSFORM,
    "id": _IDENTIFIER,
    "clip-path": _LOCAL,
    "font-size": _FONT_SIZE,
    "font-weight": _FONT_WEIGHT,
    "font-family": _FONTS,
    "class": re.compile("chart"),
    "role": re.compile("img"),
    "aria-label": _TEXT,
    "aria-hidden": re.compile("true"),
}

ElementTree.register_namespace("", _NAMESPACE.strip("{}"))


class UnsafeDrawingError(ValueError):
    """A drawing that may not stand in a page; the message says what it holds."""


def clean_svg(content: bytes) -> SafeString:
    """Return a drawing as markup that is safe inside a page.

    Raises:
        UnsafeDrawingError: it is not SVG, is too large, or holds anything that is not on the lists of this module.
    """
    if len(content) > MAX_BYTES:
        raise UnsafeDrawingError(f"It has {len(content):,} bytes; a drawing has at most {MAX_BYTES:,}.")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnsafeDrawingError(f"It is not UTF-8 text (byte {error.start}).") from error
    # A document type is what entities need, so without one the parser below expands nothing.
    if "<!" in text or "<?" in text:
        raise UnsafeDrawingError("It holds a document type, a comment or a processing instruction.")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - no document type, bounded size
    except ElementTree.ParseError as error:
        raise UnsafeDrawingError(f"It is not well-formed: {error}.") from error
    if root.tag != f"{_NAMESPACE}svg":
        raise UnsafeDrawingError("It is not an SVG drawing.")
    _check(root)
    root.set("class", "chart")
    return mark_safe(ElementTree.tostring(root, encoding="unicode"))  # noqa: S308 - every part was checked above


@lru_cache(maxsize=128)
def stored_svg(digest: str) -> SafeString:
    """Return the drawing with this digest out of the store; the same digest is the same drawing for ever.

    Raises:
        UnsafeDrawingError: see ``clean_svg``.
        OSError: the store does not have it.
    """
    with store().open(digest) as stream:
        return clean_svg(stream.read(MAX_BYTES + 1))


def _check(root: ElementTree.Element) -> None:
    pending = [(root, 1)]
    count = 0
    while pending:
        element, depth = pending.pop()
        count += 1
        if count > MAX_ELEMENTS or depth > MAX_DEPTH:
            raise UnsafeDrawingError(f"It has more than {MAX_ELEMENTS:,} elements, or more than {MAX_DEPTH} levels.")
        name = element.tag.removeprefix(_NAMESPACE)
        if name not in _ELEMENTS or (name == "svg" and element is not root):
            raise UnsafeDrawingError(f"It holds the element {element.tag!r}.")
        for key, value in element.attrib.items():
            allowed = _ATTRIBUTES.get(key)
            if allowed is None or allowed.fullmatch(value) is None:
                raise UnsafeDrawingError(f"It holds the attribute {key!r} with {value[:80]!r} on {name!r}.")
        pending.extend((child, depth + 1) for child in element)
