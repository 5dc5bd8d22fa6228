"""Charts that a page draws when it is opened, from numbers that the record holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.utils.safestring import SafeString

from governance.presentation.svg import clean_svg
from workers.charts import draw


def drawn(spec: Mapping[str, Any], *, label: str) -> SafeString:
    """Return a Vega-Lite specification as markup for a page; ``label`` is the sentence for who cannot see it.

    The renderer is loaded with the first chart; the same specification is drawn once.
    """
    return _drawn(json.dumps({**spec, "description": label}, sort_keys=True))


@lru_cache(maxsize=128)
def _drawn(spec: str) -> SafeString:
    return clean_svg(draw(json.loads(spec)).encode())
