"""What a page shows, as a file to take away: the whole page, its charts, or its numbers."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from django.http import StreamingHttpResponse

from audits.explained.figures import Figure
from audits.explained.html import standalone_html
from audits.explained.portrait import Portrait
from governance.exceptions import InvalidInput
from workers.charts import draw, draw_png, house_spec


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


def export(portrait: Portrait, *, format: str, chart: str = "") -> Export:
    """Write what is shown in a format; a chart is named for those that hold one, else it is the first.

    Raises:
        InvalidInput: there is no such format or chart.
    """
    if format not in FORMATS:
        raise _unknown("format", format, FORMATS)
    name = f"explanation-{portrait.explanation.pk}"
    if format in _OF_A_CHART:
        figure = _figure(portrait, chart)
        suffix = "vl.json" if format == "vega" else format
        return Export(f"{name}-{figure.id}.{suffix}", FORMATS[format], [_OF_A_CHART[format](figure)])
    # The first piece is made before the answer begins: what is wrong with the choices is told, and cuts nothing off.
    pieces = iter(_OF_A_PAGE[format](portrait))
    return Export(f"{name}.{format}", FORMATS[format], chain([next(pieces)], pieces))


def _figure(portrait: Portrait, asked: str) -> Figure:
    figures = {figure.id: figure for figure in portrait.figures}
    if asked and asked not in figures:
        raise _unknown("chart", asked, figures)
    return figures[asked] if asked else next(iter(figures.values()))


def _unknown(place: str, asked: str, known: Mapping[str, Any]) -> InvalidInput:
    return InvalidInput(
        f"There is no {place} {asked!r} to save.",
        errors=[{"place": place, "detail": f"There are {', '.join(known)}."}],
    )


def _spec(figure: Figure) -> dict[str, Any]:
    return house_spec({**figure.spec, "description": figure.label})


def _vega(figure: Figure) -> bytes:
    return json.dumps(_spec(figure), ensure_ascii=False, allow_nan=False, indent=1).encode()


def _svg(figure: Figure) -> bytes:
    return draw({**figure.spec, "description": figure.label}).encode()


def _png(figure: Figure) -> bytes:
    return draw_png({**figure.spec, "description": figure.label})


def _csv(portrait: Portrait) -> Iterator[bytes]:
    """Write a line for each row: who it is, and of each feature its value, what it adds and the error of that."""
    shown, words, attributions = portrait.shown, portrait.words, portrait.attributions
    head = ["row", "id", "target", "predicted", "output", "base"]
    for name in attributions.feature_names:
        head += [f"value of {name}", f"attribution of {name}", f"standard error of {name}"]
    yield _line([_not_a_formula(name) for name in head])
    numbers = ",".join(["%.8g"] * (3 * len(attributions.feature_names)))
    for at, place in enumerate(shown.places.tolist()):
        column, predicted = int(shown.columns[at]), int(attributions.predicted[place])
        output = words.output_name(int(attributions.output_numbers[place, column]), attributions.output_names, column)
        who = _line(
            [
                str(int(attributions.row_numbers[place])),
                _not_a_formula(str(attributions.ids[place])),
                _not_a_formula(str(attributions.targets[place])),
                _not_a_formula(words.class_name(predicted)) if predicted >= 0 else "",
                _not_a_formula(output),
                f"{shown.base[at]:.8g}",
            ]
        )
        cells = np.stack([shown.data[at], shown.values[at], shown.errors[at]], axis=1).ravel()
        yield who.rstrip(b"\n") + b"," + (numbers % tuple(cells.tolist())).encode() + b"\n"


def _line(cells: list[str]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(cells)
    return written.getvalue().encode()


def _not_a_formula(text: str) -> str:
    """Write a text so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _npz(portrait: Portrait) -> Iterator[bytes]:
    """Write the arrays of what is shown; the whole explanation stands in ``attributions.npz``."""
    shown, attributions = portrait.shown, portrait.attributions
    output_numbers = np.take_along_axis(attributions.output_numbers[shown.places], shown.columns[:, None], axis=1)
    arrays = {
        "values": shown.values.reshape(-1, *attributions.grid),
        "errors": shown.errors.reshape(-1, *attributions.grid),
        "data": shown.data.reshape(-1, *attributions.grid),
        "base_values": shown.base,
        "row_numbers": attributions.row_numbers[shown.places],
        "output_numbers": output_numbers[:, 0],
        "feature_names": np.asarray(attributions.feature_names, dtype=np.str_),
    }
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            # A fixed date: the same values give the same bytes.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
    yield written.getvalue()


def _json(portrait: Portrait) -> Iterator[bytes]:
    found, explanation, shown = portrait.found, portrait.explanation, portrait.shown
    document = {
        "explanation": explanation.pk,
        "digest": explanation.digest,
        "model": explanation.version.ref,
        "dataset": explanation.dataset.ref,
        "background": explanation.background.ref,
        "parameters": explanation.parameters,
        "admitted": explanation.admitted,
        "reasons": explanation.reasons,
        "quality": explanation.quality,
        "asked": portrait.asked.given(),
        "output": {"key": shown.output.key, "name": shown.output.name, "unit": portrait.unit},
        "rows": shown.available,
        "rows_used": shown.row_count,
        "importance": [entry.to_json() for entry in portrait.importance],
        "row": {
            "row": found.row.number,
            "id": found.row.id,
            "predicted": found.row.predicted,
            "target": found.row.target,
            "output": found.row.output_name,
            "unit": found.row.unit,
            **found.row.entry(),
        },
        "charts": [figure.to_json() for figure in portrait.figures],
    }
    yield json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1).encode()


def _html(portrait: Portrait) -> Iterator[bytes]:
    yield standalone_html(portrait).encode()


_OF_A_CHART: Mapping[str, Callable[[Figure], bytes]] = {"png": _png, "svg": _svg, "vega": _vega}
_OF_A_PAGE: Mapping[str, Callable[[Portrait], Iterator[bytes]]] = {
    "html": _html,
    "csv": _csv,
    "npz": _npz,
    "json": _json,
}
