"""What a page shows, as a file to take away: the whole page, its charts, or its numbers."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol
from urllib.parse import urlencode

import numpy as np
from django.http import StreamingHttpResponse
from django.urls import reverse
from numpy.typing import NDArray

from audits.explained.figures import Figure
from governance.exceptions import InvalidInput
from workers.charts import draw, draw_png, house_spec


class Content(Protocol):
    """What a page shows, part by part; a part is worked out when a format asks for it."""

    @property
    def name(self) -> str:
        """How the names of its files begin."""

    @property
    def figures(self) -> Sequence[Figure]:
        """Its charts, the first one first."""

    def html(self) -> str:
        """The page as one file."""

    def lines(self) -> Iterator[bytes]:
        """Its numbers as lines of CSV, the head first."""

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Its numbers as arrays by name."""

    def document(self) -> dict[str, Any]:
        """All that it says, as JSON has it."""


@dataclass(frozen=True)
class Saves:
    """Where the files of a page are: their route, what it names, and the choices of the page."""

    route: str
    arguments: tuple[int, ...]
    choices: Mapping[str, str]

    def address(self, format: str, chart: str = "") -> str:
        """Return the address of the page, or of one of its charts, in a format."""
        choices = {**self.choices, **({"chart": chart} if chart else {})}
        address = reverse(self.route, args=[*self.arguments, format])
        return f"{address}?{urlencode(choices)}" if choices else address


@dataclass(frozen=True)
class Export:
    """A file: its name, its type and its bytes, piece by piece."""

    filename: str
    content_type: str
    chunks: Iterable[bytes]

    def response(self) -> StreamingHttpResponse:
        """Return the file as an answer, to be kept and never opened as a page of this site."""
        response = StreamingHttpResponse(self.chunks, content_type=self.content_type)
        response["Content-Disposition"] = f'attachment; filename="{self.filename}"'
        response["Content-Security-Policy"] = "default-src 'none'; sandbox"
        return response


#: Format -> type of the file.
FORMATS: Mapping[str, str] = {
    "html": "text/html; charset=utf-8",
    "png": "image/png",
    "svg": "image/svg+xml",
    "vega": "application/json",
    "csv": "text/csv; charset=utf-8",
    "npz": "application/octet-stream",
    "json": "application/json",
}


def export(content: Content, *, format: str, chart: str = "") -> Export:
    """Write what is shown in a format; a chart is named for those that hold one, else it is the first.

    Raises:
        InvalidInput: there is no such format or chart.
    """
    if format not in FORMATS:
        raise _unknown("format", format, FORMATS)
    if format in _OF_A_CHART:
        figure = _figure(content, chart)
        suffix = "vl.json" if format == "vega" else format
        return Export(f"{content.name}-{figure.id}.{suffix}", FORMATS[format], [_OF_A_CHART[format](figure)])
    # The first piece is made before the answer begins: what is wrong with the choices is told, and cuts nothing off.
    pieces = iter(_OF_A_PAGE[format](content))
    return Export(f"{content.name}.{format}", FORMATS[format], chain([next(pieces)], pieces))


def _figure(content: Content, asked: str) -> Figure:
    figures = {figure.id: figure for figure in content.figures}
    if asked and asked not in figures:
        raise _unknown("chart", asked, figures)
    return figures[asked] if asked else next(iter(figures.values()))


def _unknown(place: str, asked: str, known: Mapping[str, Any]) -> InvalidInput:
    return InvalidInput(
        f"There is no {place} {asked!r} to save.",
        errors=[{"place": place, "detail": f"There are {', '.join(known)}."}],
    )


def _vega(figure: Figure) -> bytes:
    return _json_bytes(house_spec({**figure.spec, "description": figure.label}))


def _svg(figure: Figure) -> bytes:
    return draw({**figure.spec, "description": figure.label}).encode()


def _png(figure: Figure) -> bytes:
    return draw_png({**figure.spec, "description": figure.label})


def _html(content: Content) -> Iterator[bytes]:
    yield content.html().encode()


def _npz(content: Content) -> Iterator[bytes]:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in content.arrays().items():
            # A fixed date: the same values give the same bytes.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
    yield written.getvalue()


def _json(content: Content) -> Iterator[bytes]:
    yield _json_bytes(content.document())


def _json_bytes(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1).encode()


_OF_A_CHART: Mapping[str, Callable[[Figure], bytes]] = {"png": _png, "svg": _svg, "vega": _vega}
_OF_A_PAGE: Mapping[str, Callable[[Content], Iterator[bytes]]] = {
    "html": _html,
    "csv": lambda content: content.lines(),
    "npz": _npz,
    "json": _json,
}
