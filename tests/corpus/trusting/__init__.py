"""Loaders and readers that trust what they read, as people use them or write them: what the corpus does its harm to.

Each module holds those of one kind of file and lists them in ``LOADERS``; the names are those that a case bites by.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.corpus.trusting import (
    archives,
    arrays,
    contents,
    documents,
    hdf5,
    keras_files,
    packages,
    packers,
    saved_models,
    torch_files,
)
from tests.corpus.trusting.loader import Loader

_MODULES = (archives, arrays, contents, documents, hdf5, keras_files, packages, packers, saved_models, torch_files)
LOADERS: Mapping[str, Loader] = {name: loader for module in _MODULES for name, loader in module.LOADERS.items()}
