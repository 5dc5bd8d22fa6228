"""One real export of each framework, written once: the tests change copies of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny_models


@pytest.fixture(scope="session")
def keras_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.mlp(tmp_path_factory.mktemp("keras") / "model.keras", dropout=0.1, batch_normalisation=True)


@pytest.fixture(scope="session")
def pt2_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.mlp(tmp_path_factory.mktemp("pt2") / "model.pt2", dropout=0.1, batch_normalisation=True)
