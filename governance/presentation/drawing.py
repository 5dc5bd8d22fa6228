"""Charts that a page draws when it is opened, from numbers that the record holds."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.utils.safestring import SafeString

from governance.presentation.svg import clean_svg
from workers.charts import draw

#: Enough of a chart for the renderer to load everything that others need.
_SMALLEST = {
    "data": {"values": [{"x": 0, "y": "a"}]},
    "layer": [
        {
            "mark": mark,
            "encoding": {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "nominal"}},
        }
        for mark in ("bar", "rule", "text")
    ],
}


def drawn(spec: Mapping[str, Any], *, label: str) -> SafeString:
    """Return a Vega-Lite specification as markup for a page; ``label`` is the sentence for who cannot see it.

    The renderer is loaded with the first chart; the same specification is drawn once.
    """
    return _drawn(json.dumps({**spec, "description": label}, sort_keys=True))


def wake_renderer() -> threading.Thread:
    """Load the renderer beside whatever else a process does as it starts, and return the thread that does.

    It takes longest to draw the first chart; so nobody who opens the first page of a process waits for that.
    """
    thread = threading.Thread(target=draw, args=(_SMALLEST,), name="renderer", daemon=True)
    thread.start()
    return thread


@lru_cache(maxsize=128)
def _drawn(spec: str) -> SafeString:
    return clean_svg(draw(json.loads(spec)).encode())
