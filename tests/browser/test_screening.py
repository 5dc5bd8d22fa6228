"""The section about screenings in a browser, of what real screenings found in few and in very many columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import transaction
from django.urls import reverse

from tests import factories, page_factories
from tests.validators.planted import Planted
from tests.validators.screenings import screen
from validators.engine.screening.catalogue import names_for
from validators.models import Screening
from validators.services import screenings

LONG_NAME = "a column with a name that is much longer than any table has room for " * 3


def data_of(count: int, *, shifted: float = 0.0) -> Planted:
    generator = np.random.default_rng(count)
    columns: dict[str, Any] = {f"measure_{place}": generator.normal(shifted, 1, 300) for place in range(count)}
    columns["measure_0"][[3, 50]] = [1e6, -1e6]
    if count > 1:
        columns[LONG_NAME] = columns["measure_1"] * 2
        columns["constant"] = np.ones(300)
    columns["label"] = np.where(columns["measure_0"] > 0, "<b>yes</b>", "no").tolist()
    return Planted(columns, {"label": "target"})


def screened(
    base: Path,
    count: int,
    purpose: str = "quality",
    *,
    against: Planted | None = None,
    detectors: list[str] | None = None,
) -> Screening:
    """Screen data for real, and keep what came out as the record does."""
    data = data_of(count)
    found = screen(base, data, detectors, purpose=purpose, against=against)
    outputs = found.folder / "outputs"
    files = {path.name: page_factories.stored(path.read_bytes()) for path in outputs.iterdir()}
    version = factories.DatasetVersionFactory(schema=data.schema(), row_count=data.count)
    other = None if against is None else factories.DatasetVersionFactory()
    alice = factories.person("alice", "engineers")
    screening = screenings.request_screening(dataset=version, against=other, purpose=purpose, by=alice)
    with transaction.atomic():
        screenings.record_screening(screening.job, found.value, files)
    screening.job.state = "succeeded"
    screening.job.save()
    return screening


def address_of(screening: Screening) -> str:
    return reverse("dataset-version", args=[screening.dataset.dataset.name, screening.dataset.number])


@pytest.mark.parametrize("count", [1, 30, 1_000])
def test_what_was_found_reads_well_however_many_columns_there_are(
    signed_in, live_server, count: int, tmp_path: Path
) -> None:
    # What learns from 1,000 columns takes a while, and has no more to show for it.
    detectors = [name for name in names_for("quality") if count < 1_000 or not name.startswith("label_")]
    screening = screened(tmp_path, count, detectors=detectors)

    signed_in.page.goto(live_server.url + address_of(screening) + "#screening")

    assert signed_in.problems == []
    assert signed_in.elsewhere == []
    for width in (1440, 600):
        signed_in.page.set_viewport_size({"width": width, "height": 900})
        assert signed_in.page.evaluate("document.documentElement.scrollWidth") <= width
    section = signed_in.page.locator("#screening")
    assert section.locator("table").first.locator("tbody tr").count() == len(detectors)
    assert section.locator("tr").count() < 120
    assert "1,000,000" in section.inner_text() or "1000000" in section.inner_text()


def test_drift_is_drawn_as_two_distributions_over_each_other(signed_in, live_server, tmp_path: Path) -> None:
    screening = screened(tmp_path, 30, "drift", against=data_of(30, shifted=0.8))

    signed_in.page.goto(live_server.url + address_of(screening) + "#screening")

    drawings = signed_in.page.locator("#screening .drawing svg")
    assert drawings.count() == 4
    assert "two histograms" in drawings.first.get_attribute("aria-label").lower()
    assert signed_in.problems == []
