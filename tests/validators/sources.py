"""Sources of tables as data engineers meet them: each draws as many clean samples as one likes, from a seed.

A source is a function ``(rng, rows) -> Sample``. Two samples of a source differ as two deliveries of one system do:
other rows of the same kind, ids that go on, moments of the same years.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tests.validators.engine.engine_jobs import schema_of
from workers.datasets.schema import Schema

Generator = np.random.Generator

_PROSE = (
    "the parcel came late and the box was torn but nothing inside is broken please call before the next one is sent to "
    "our new address since nobody is at home in the morning thank you for the quick answer and the good advice"
)


@dataclass(frozen=True)
class Sample:
    """A table of a source, the roles of its columns, and which columns a fault of some kinds may be planted in."""

    table: pa.Table
    roles: Mapping[str, str] = field(default_factory=dict)
    patterned: tuple[str, ...] = ()
    prose: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    ordered_pairs: tuple[tuple[str, str], ...] = ()

    @property
    def schema(self) -> Schema:
        described = schema_of(self.table)
        for name, role in self.roles.items():
            described["columns"][name]["role"] = role
        return Schema.from_json(described)


Source = Callable[[Generator, int], Sample]


def customers(rng: Generator, rows: int) -> Sample:
    """People: an id, dates, categories of uneven frequency, skewed incomes, missing telephones, e-mail addresses."""
    numbers = rng.choice(10_000_000, rows, replace=False)
    born = _moments(rng, datetime(1940, 1, 1, tzinfo=UTC), 65 * 365, rows)
    joined = _moments(rng, datetime(2021, 1, 1, tzinfo=UTC), 3 * 365, rows)
    income = rng.lognormal(10, 0.7, rows)
    columns = {
        "customer_id": [f"C-{number:07d}" for number in numbers],
        "born": _moment_array(born),
        "joined": _moment_array(joined),
        "last_seen": _moment_array(joined + rng.integers(0, 400 * 86_400, rows) * (rng.random(rows) < 0.9)),
        "country": rng.choice(["DE", "FR", "NL", "PL", "AT"], rows, p=[0.45, 0.25, 0.15, 0.1, 0.05]),
        "segment": rng.choice(["private", "business", "public"], rows, p=[0.8, 0.15, 0.05]),
        "email": [f"{_word(rng)}.{_word(rng)}{number % 97}@example.{_top(rng)}" for number in numbers],
        "phone": _missing(
            rng, [f"+49 {rng.integers(100, 999)} {rng.integers(10**6, 10**7)}" for _ in range(rows)], 0.12
        ),
        "income": np.round(income, 2),
        "limit": np.round(income * rng.uniform(1.0, 3.0, rows), 2),
        "age": np.clip(rng.normal(44, 16, rows), 18, 99).astype(np.int64),
        "children": rng.poisson(0.9, rows),
        "score": rng.beta(2, 5, rows),
        "is_active": rng.random(rows) < 0.85,
    }
    return Sample(
        pa.table(columns),
        {"customer_id": "id", "is_active": "target", "joined": "timestamp"},
        patterned=("customer_id", "phone"),
        keys=("customer_id",),
        ordered_pairs=(("limit", "income"), ("last_seen", "joined")),
    )


def orders(rng: Generator, rows: int) -> Sample:
    """Orders in the order of their numbers: steps in time with gaps, prices, a rare state, comments in prose."""
    created = np.sort(_moments(rng, datetime(2024, 1, 1, tzinfo=UTC), 180, rows))
    is_shipped = rng.random(rows) < 0.9
    shipped = created + rng.exponential(2 * 86_400, rows).astype(np.int64)
    delivered = shipped + rng.gamma(3, 86_400, rows).astype(np.int64)
    is_delivered = is_shipped & (rng.random(rows) < 0.95)
    quantity = 1 + rng.poisson(1.5, rows)
    price = np.round(rng.lognormal(3, 0.8, rows), 2)
    columns = {
        "order_id": np.arange(rows) + int(rng.integers(10**6)),
        "customer": rng.integers(1, 5_000, rows),
        "created": _moment_array(created),
        "shipped": _moment_array(shipped, is_shipped),
        "delivered": _moment_array(delivered, is_delivered),
        "sku": [f"SKU-{rng.integers(10_000):04d}-{'ABCDEFGH'[rng.integers(8)]}" for _ in range(rows)],
        "quantity": quantity,
        "unit_price": price,
        "total": np.round(quantity * price, 2),
        "currency": rng.choice(["EUR", "USD", "GBP"], rows, p=[0.7, 0.2, 0.1]),
        "state": rng.choice(["paid", "open", "refunded", "chargeback"], rows, p=[0.85, 0.1, 0.045, 0.005]),
        "comment": _missing(rng, [_prose(rng, int(rng.integers(4, 60))) for _ in range(rows)], 0.3),
        "returned": rng.integers(0, 2, rows),
    }
    return Sample(
        pa.table(columns),
        {"order_id": "id", "returned": "target"},
        patterned=("sku",),
        prose=("comment",),
        keys=("order_id",),
        ordered_pairs=(("total", "unit_price"), ("shipped", "created"), ("delivered", "shipped")),
    )


def sensors(rng: Generator, rows: int) -> Sample:
    """Measurements by device and minute: a compound key, days with a rhythm, heavy tails, codes, gaps."""
    devices = 10
    minutes = np.repeat(np.arange(-(-rows // devices)), devices)[:rows]
    device = np.tile(np.arange(devices), -(-rows // devices))[:rows]
    offset = np.linspace(-3, 3, devices)[device]
    rhythm = 5 * np.sin(minutes * 2 * np.pi / 60)
    temperature = 20 + offset + rhythm + rng.normal(0, 1, rows)
    columns = {
        "device": [f"dev{number:02d}" for number in device],
        "minute": minutes + 1_000,
        "temperature": temperature,
        "dew_point": temperature - rng.gamma(2, 2, rows),
        "humidity": np.clip(rng.normal(55, 15, rows), 0, 100),
        "latency_ms": rng.pareto(1.5, rows) * 20 + 5,
        "voltage": _missing(rng, rng.normal(3.3, 0.05, rows).tolist(), 0.04),
        "errors": rng.geometric(0.6, rows) - 1,
        "mode": rng.choice([0, 1, 2, 4], rows, p=[0.6, 0.2, 0.1, 0.1]),
        "firmware": rng.choice(["v1.2.0", "v1.2.1", "v1.3.0"], rows, p=[0.5, 0.3, 0.2]),
    }
    return Sample(pa.table(columns), ordered_pairs=(("temperature", "dew_point"),))


def tumours(rng: Generator, rows: int) -> Sample:
    """scikit-learn's breast cancer data, 569 rows of 30 skewed measurements, drawn with replacement."""
    from sklearn.datasets import load_breast_cancer

    return _resampled(load_breast_cancer(), rng, rows)


def wines(rng: Generator, rows: int) -> Sample:
    """scikit-learn's wine data, 178 rows of 13 measurements, drawn with replacement."""
    from sklearn.datasets import load_wine

    return _resampled(load_wine(), rng, rows)


def diabetes(rng: Generator, rows: int) -> Sample:
    """scikit-learn's diabetes data, 442 rows of 10 measurements on their own scales, drawn with replacement."""
    from sklearn.datasets import load_diabetes

    return _resampled(load_diabetes(scaled=False), rng, rows)


def photographs(rng: Generator, rows: int) -> Sample:
    """The metadata of images: all decode, a few sizes, brightness and its like in their ranges, a hash, a label."""
    columns = {
        "image.decodes": np.ones(rows, dtype=bool),
        "image.width": rng.choice([640, 1280], rows, p=[0.7, 0.3]),
        "image.height": rng.choice([480, 720], rows, p=[0.7, 0.3]),
        "image.mode": np.where(rng.random(rows) < 0.97, "RGB", "L"),
        "image.brightness": rng.beta(5, 4, rows) * 255,
        "image.contrast": rng.gamma(9, 6, rows),
        "image.blur": rng.lognormal(5, 0.9, rows),
        "image.entropy": 8 * rng.beta(14, 2, rows),
        "image.hash": [f"{rng.integers(2**63):016x}" for _ in range(rows)],
        "label": rng.choice(["cat", "dog", "horse"], rows),
    }
    roles = {name: "metadata" for name in columns if name.startswith("image.")}
    return Sample(pa.table(columns), {**roles, "label": "target"}, patterned=("image.hash",))


def extremes(rng: Generator, rows: int) -> Sample:
    """Everything that makes a range hard: no mean, no variance, many zeros, rare values, a long list of categories."""
    columns = {
        "cauchy": rng.standard_cauchy(rows),
        "student": rng.standard_t(2, rows),
        "pareto": rng.pareto(1.1, rows) + 1,
        "claims": np.where(rng.random(rows) < 0.9, 0.0, rng.lognormal(7, 1.5, rows)),
        "count": rng.geometric(0.2, rows) + rng.poisson(2, rows),
        "capped": np.minimum(rng.exponential(2, rows), 5.0),
        "uniform": rng.uniform(-1, 1, rows),
        "word": [f"w{rank}" for rank in np.minimum(rng.zipf(1.6, rows), 10_000)],
        "grade": rng.choice(["A", "B", "C", "D"], rows, p=[0.5, 0.3, 0.195, 0.005]),
        "normal": rng.normal(1_000, 10, rows),
    }
    return Sample(pa.table(columns))


SOURCES: dict[str, Source] = {
    source.__name__: source for source in (customers, orders, sensors, tumours, wines, diabetes, photographs, extremes)
}


def _resampled(bunch: Any, rng: Generator, rows: int) -> Sample:
    chosen = rng.integers(0, len(bunch.data), rows)
    columns = {str(name): bunch.data[chosen, place] for place, name in enumerate(bunch.feature_names)}
    return Sample(pa.table({**columns, "target": bunch.target[chosen]}), {"target": "target"})


def _moments(rng: Generator, start: datetime, days: int, rows: int) -> NDArray[np.int64]:
    return int(start.timestamp()) + rng.integers(0, days * 86_400, rows)


def _moment_array(seconds: NDArray[np.int64], is_there: NDArray[np.bool_] | None = None) -> pa.Array:
    mask = None if is_there is None else ~is_there
    return pa.array(seconds.astype("datetime64[s]").astype("datetime64[us]"), pa.timestamp("us"), mask=mask)


def _missing(rng: Generator, values: list[Any], share: float) -> list[Any]:
    return [None if lost else value for value, lost in zip(values, rng.random(len(values)) < share, strict=True)]


def _word(rng: Generator) -> str:
    return "".join(rng.choice(list("abcdefghijklmnoprstuvw"), int(rng.integers(3, 9))))


def _top(rng: Generator) -> str:
    return ("com", "org", "net")[int(rng.integers(3))]


def _prose(rng: Generator, words: int) -> str:
    return " ".join(rng.choice(_PROSE.split(), words))
