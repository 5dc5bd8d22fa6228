"""The files of an explanation as the web process reads them: arrays mapped from the store, every shape checked first.

A child wrote them, and a child is not trusted: nothing is unpickled, no count is believed before the bytes are there,
and what does not fit together is an IntegrityFailure that says what does not.
"""

from __future__ import annotations

from audits.attributions.arrays import ATTRIBUTIONS_FILE, Attributions, read_attributions
from audits.attributions.companions import (
    COLUMNS_FILE,
    NEIGHBOURS_FILE,
    PICTURES_FILE,
    TOKENS_FILE,
    Columns,
    Neighbours,
    Pictures,
    read_columns,
    read_neighbours,
    read_pictures,
    read_tokens,
)

__all__ = [
    "ATTRIBUTIONS_FILE",
    "COLUMNS_FILE",
    "NEIGHBOURS_FILE",
    "PICTURES_FILE",
    "TOKENS_FILE",
    "Attributions",
    "Columns",
    "Neighbours",
    "Pictures",
    "read_attributions",
    "read_columns",
    "read_neighbours",
    "read_pictures",
    "read_tokens",
]
