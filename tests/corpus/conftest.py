"""The real exports of which the corpus changes copies: made once for all processes of a test run."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from tests.corpus import samples as exports


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    folder = shared / "corpus-samples"
    with (shared / "corpus-samples.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = shared / "corpus-samples.unfinished"
            unfinished.mkdir()
            exports.make(unfinished)
            unfinished.rename(folder)
    return folder
