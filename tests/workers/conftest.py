"""Fixtures of the tests of the compute half."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workers.loaded_models import FRAMEWORKS


@pytest.fixture(params=FRAMEWORKS.values(), ids=FRAMEWORKS)
def model_path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where to write a model, once in each format: the suffix decides."""
    return tmp_path / request.param
