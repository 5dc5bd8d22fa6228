"""Data with faults planted where they are known, and their clean twins: what detectors are measured on.

A case is one detector, one kind of fault and one source. ``faulty`` returns a data set and what was planted in it (row
numbers, or names of columns or classes), ``clean`` the same source without the fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from workers.datasets.canonical import tensor_array

Generator = np.random.Generator
Columns = dict[str, Any]


_WORDS: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
    (pa.types.is_integer, "integer"),
    (pa.types.is_decimal, "decimal"),
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_date, "date"),
    (pa.types.is_timestamp, "datetime"),
)


@dataclass
class Planted:
    """A data set, with another one where two are compared, and what is planted."""

    columns: Columns
    roles: dict[str, str]
    faults: set[Any] = field(default_factory=set)
    against: Columns | None = None
    modality: str = "tabular"

    @property
    def count(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def feature_names(self) -> list[str]:
        return [name for name in self.columns if self.roles.get(name, "feature") == "feature"]

    def schema(self) -> dict[str, Any]:
        """Return the schema, with the type of each column from what it holds."""
        return {"modality": self.modality, "columns": {name: self._described(name) for name in self.columns}}

    def _described(self, name: str) -> dict[str, Any]:
        array = as_arrow(self.columns[name])
        if isinstance(array.type, pa.FixedShapeTensorType):
            kind = {"type": "image", "shape": list(array.type.shape)}
        elif pa.types.is_string(array.type):
            kind = {"type": "text" if self.modality == "text" and self.roles.get(name) != "target" else "category"}
        else:
            kind = {"type": next((word for is_one, word in _WORDS if is_one(array.type)), "float")}
        return {"role": self.roles.get(name, "feature"), **kind}


def as_arrow(values: Any) -> pa.Array:
    """Return values as a column of a data set; more than one axis makes an array of one shape a row."""
    if isinstance(values, pa.Array):
        return values
    array = np.asarray(values)
    return tensor_array(array) if array.ndim > 1 else pa.array(values)


# ------------------------------------------------------------------------------------------------------- sources
def table(generator: Generator, rows: int = 2_000) -> Planted:
    """Eight correlated columns of numbers, one skewed, a category and two classes that follow from them."""
    mixing = generator.normal(size=(8, 8)) * 0.3 + np.eye(8)
    values = generator.normal(size=(rows, 8)) @ mixing
    values[:, 1] = values[:, 0] + 0.2 * generator.normal(size=rows)
    columns: Columns = {f"x{place}": values[:, place] * 10**place for place in range(8)}
    columns["waiting"] = generator.gamma(2.0, 3.0, rows)
    columns["region"] = generator.choice(["north", "south", "east", "west"], rows, p=[0.4, 0.3, 0.2, 0.1]).tolist()
    score = values[:, 0] - values[:, 2] + 0.5 * values[:, 4]
    columns["label"] = np.where(score > 0, "yes", "no").tolist()
    return Planted(columns, {"label": "target"})


def machines(generator: Generator, rows: int = 2_400) -> Planted:
    """Twelve classes with a middle of their own in eight columns of numbers, and two categories that go with them."""
    numbers = generator.integers(12, size=rows)
    middles = generator.normal(size=(12, 8)) * 2
    values = middles[numbers] + generator.normal(size=(rows, 8))
    columns: Columns = {f"x{place}": values[:, place] for place in range(8)}
    for name, size in (("hall", 4), ("maker", 6)):
        is_usual = generator.random(rows) < 0.8
        codes = np.where(is_usual, numbers % size, generator.integers(size, size=rows))
        columns[name] = [f"{name} {code}" for code in codes.tolist()]
    columns["label"] = [f"machine {number}" for number in numbers.tolist()]
    return Planted(columns, {"label": "target"})


def medical(generator: Generator) -> Planted:
    """The 569 tumours of scikit-learn: 30 columns of numbers, most of them skewed."""
    from sklearn.datasets import load_breast_cancer

    return _bundled(load_breast_cancer(), generator)


def wine(generator: Generator) -> Planted:
    """The 178 wines of scikit-learn: 13 columns of numbers, three classes."""
    from sklearn.datasets import load_wine

    return _bundled(load_wine(), generator)


def digits(generator: Generator) -> Planted:
    """The 1,797 digits of scikit-learn: images of 8 x 8, ten classes."""
    from sklearn.datasets import load_digits

    bundled = load_digits()
    order = generator.permutation(len(bundled.target))
    columns = {"image": bundled.images[order].astype(np.float32), "label": bundled.target[order].astype(np.int64)}
    return Planted(columns, {"label": "target"}, modality="image")


_SUBJECTS = ("the pump", "a valve", "our boiler", "the meter", "this heater", "a pipe", "the tank", "one sensor")
_GOOD = ("works well", "runs quietly", "keeps its pressure", "was easy to fit", "saves a lot of gas", "looks solid")
_BAD = ("broke at once", "leaks badly", "lost its pressure", "was hard to fit", "wastes a lot of gas", "smells burnt")
_TIMES = ("after two weeks", "since last winter", "on the first day", "every morning", "in the cellar", "at full load")
_ENDS = ("and the dealer knows", "says my neighbour", "as the manual states", "to be honest", "so far", "in my view")


def texts(generator: Generator, rows: int = 800) -> Planted:
    """Reviews put together from phrases: three sentences each, most of them about what the label says."""
    is_good = generator.random(rows) < 0.5
    reviews = []
    for good in is_good:
        sentences = []
        for _ in range(3):
            phrases = _GOOD if generator.random() < (0.9 if good else 0.1) else _BAD
            parts = [str(generator.choice(choices)) for choices in (_SUBJECTS, phrases, _TIMES, _ENDS)]
            sentences.append(f"{' '.join(parts)} {generator.integers(10_000)}")
        reviews.append(". ".join(sentences))
    labels = np.where(is_good, "good", "bad").tolist()
    return Planted({"review": reviews, "label": labels}, {"label": "target"}, modality="text")


def _bundled(bundled: Any, generator: Generator) -> Planted:
    order = generator.permutation(len(bundled.target))
    columns: Columns = {
        str(name).replace(" ", "_"): bundled.data[order, place] for place, name in enumerate(bundled.feature_names)
    }
    columns["label"] = bundled.target[order].astype(np.int64)
    return Planted(columns, {"label": "target"})


# -------------------------------------------------------------------------------------------------------- faults
def some(generator: Generator, count: int, share: float) -> NDArray[np.int64]:
    """Draw this share of the rows, at least one."""
    return np.sort(generator.choice(count, max(1, round(share * count)), replace=False))


def far_values(data: Planted, generator: Generator, share: float = 0.01) -> Planted:
    """Put a wrong unit into single cells: values 1,000 times as far from the middle as the column is wide."""
    names = [name for name in data.feature_names if np.asarray(data.columns[name]).dtype.kind == "f"]
    rows = some(generator, data.count, share)
    for row in rows:
        values = data.columns[str(generator.choice(names))]
        values[row] = np.median(values) + generator.choice([-1, 1]) * 1_000 * values.std()
    data.faults = set(rows.tolist())
    return data


def broken_pairs(data: Planted, generator: Generator, share: float = 0.01) -> Planted:
    """Let two columns that go together part: each value usual, both together not."""
    rows = some(generator, data.count, share)
    first, second = data.columns["x0"], data.columns["x1"]
    first[rows] = 1.8 * first.std() * np.where(rows % 2, 1, -1)
    second[rows] = -1.8 * second.std() * np.where(rows % 2, 1, -1)
    data.faults = set(rows.tolist())
    return data


def wrong_labels(data: Planted, generator: Generator, share: float = 0.05) -> Planted:
    """Give some rows another class."""
    rows = some(generator, data.count, share)
    labels = data.columns["label"]
    classes = sorted(set(np.asarray(labels).tolist()))
    for row in rows:
        labels[row] = classes[(classes.index(labels[row]) + int(generator.integers(1, len(classes)))) % len(classes)]
    data.faults = set(rows.tolist())
    return data


def repeated_rows(data: Planted, generator: Generator, share: float = 0.02, *, label: str = "kept") -> Planted:
    """Write some rows again at the end; ``label`` may be ``other`` for another class."""
    rows, first = some(generator, data.count, share), data.count
    classes = sorted(set(np.asarray(data.columns["label"]).tolist()))
    for name, values in data.columns.items():
        again = [values[row] for row in rows]
        if name == "label" and label == "other":
            again = [classes[(classes.index(value) + 1) % len(classes)] for value in again]
        data.columns[name] = _joined(values, again)
    late = set(range(first, data.count))
    data.faults = late | set(rows.tolist()) if label == "other" else late
    return data


def almost_repeated_rows(data: Planted, generator: Generator, share: float = 0.02) -> Planted:
    """Write some rows again with a change that a person would not see."""
    data = repeated_rows(data, generator, share)
    late = sorted(data.faults)
    for name in data.feature_names:
        values = data.columns[name]
        if data.modality == "text":
            for row in late:
                words = values[row].split()
                words[int(generator.integers(len(words)))] = "changed"
                values[row] = " ".join(words)
        elif np.asarray(values).ndim > 1:
            noise = generator.normal(0, 0.01 * values.max(), values[late].shape)
            values[late] = values[late] + noise.astype(values.dtype)
        elif np.asarray(values).dtype.kind == "f":
            values[late] += generator.uniform(-0.005, 0.005, len(late)) * _width(values)
    return data


def leaked(data: Planted, generator: Generator, share: float = 0.02, *, almost: bool = False) -> Planted:
    """Split into two versions, and let some rows of the first be in the second as well."""
    half = data.count // 2
    rows = some(generator, half, share)
    against = {name: values[half:] for name, values in data.columns.items()}
    data.columns = {name: values[:half] for name, values in data.columns.items()}
    shared = Planted({name: [values[row] for row in rows] for name, values in data.columns.items()}, data.roles)
    shared.modality = data.modality
    for name, values in shared.columns.items():
        if not isinstance(data.columns[name], list):
            shared.columns[name] = np.array(values)
    if almost:
        _nudge(shared, generator, data)
    data.against = {name: _joined(values, shared.columns[name]) for name, values in against.items()}
    data.faults = set(rows.tolist())
    return data


def halves(data: Planted, generator: Generator) -> Planted:
    """Split into two versions that share nothing: the clean twin of ``leaked`` and of drift."""
    half = data.count // 2
    data.against = {name: values[half:] for name, values in data.columns.items()}
    data.columns = {name: values[:half] for name, values in data.columns.items()}
    return data


def _width(values: NDArray[np.float64]) -> float:
    """Return the robust standard deviation of a column."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _nudge(data: Planted, generator: Generator, source: Planted) -> None:
    for name in data.feature_names:
        values = data.columns[name]
        if data.modality == "text":
            data.columns[name] = [text.replace(" the ", " this ", 1) + " indeed" for text in values]
        elif isinstance(values, list):
            continue
        elif values.ndim > 1:
            noise = generator.normal(0, 0.01 * values.max(), values.shape)
            data.columns[name] = (values + noise).astype(values.dtype)
        elif values.dtype.kind == "f":
            data.columns[name] = values + generator.uniform(-0.005, 0.005, len(values)) * _width(source.columns[name])


def constant_column(data: Planted, generator: Generator) -> Planted:
    """Add a column of one value, one of nearly one, and one that is all but missing."""
    data.columns["constant"] = np.ones(data.count)
    near = np.full(data.count, 7.0)
    near[0] = 8.0
    data.columns["near_constant"] = near
    data.columns["absent"] = pa.array([None] * data.count, pa.float64())
    data.faults = {"constant", "near_constant", "absent"}
    return data


def copied_columns(data: Planted, generator: Generator) -> Planted:
    """Add a copy, a column in another unit and a category under other names."""
    first = next(name for name in data.feature_names if np.asarray(data.columns[name]).dtype.kind == "f")
    data.columns["copy"] = data.columns[first].copy()
    data.columns["fahrenheit"] = np.round(32 + 1.8 * data.columns[first], 3)
    data.columns["region_code"] = [
        {"north": 3, "south": 1, "east": 2, "west": 9}[name] for name in data.columns["region"]
    ]
    data.faults = {"copy", "fahrenheit", "region_code"}
    return data


def giveaways(data: Planted, generator: Generator) -> Planted:
    """Add a number made from the label, a code of it, and an id that was given in the order of the labels."""
    labels = np.asarray(data.columns["label"])
    classes = sorted(set(labels.tolist()))
    number = np.array([classes.index(label) for label in labels.tolist()], dtype=np.float64)
    data.columns["outcome"] = number + generator.normal(0, 0.05, data.count)
    data.columns["code"] = [f"{'abcdefghij'[int(value)]}{generator.integers(3)}" for value in number]
    ids = np.empty(data.count, dtype=np.int64)
    ids[np.argsort(number + generator.random(data.count) * 0.5)] = np.arange(data.count)
    data.columns["id"] = ids
    data.roles = {**data.roles, "id": "id"}
    data.faults = {"outcome", "code", "id"}
    return data


def rare_class(data: Planted, generator: Generator) -> Planted:
    """Leave only one in fifty rows of a class."""
    labels = np.asarray(data.columns["label"])
    rare = sorted(set(labels.tolist()))[0]
    kept = generator.permutation(np.flatnonzero(labels == rare))
    keep = np.sort(np.concatenate([np.flatnonzero(labels != rare), kept[: max(3, len(kept) // 50)]]))
    data.columns = {
        name: [values[row] for row in keep] if isinstance(values, list) else values[keep]
        for name, values in data.columns.items()
    }
    data.faults = {str(rare)}
    return data


def moved_columns(data: Planted, generator: Generator) -> Planted:
    """Split into two versions of which one has moved: a mean, a scale, a category, missing values."""
    data = halves(data, generator)
    data.columns["x2"] = data.columns["x2"] + 0.6 * data.columns["x2"].std()
    data.columns["x3"] = data.columns["x3"] * 2
    shifted = generator.random(data.count) < 0.4
    data.columns["region"] = ["west" if s else r for s, r in zip(shifted, data.columns["region"], strict=True)]
    missing = generator.random(data.count) < 0.2
    data.columns["x5"] = np.where(missing, np.nan, data.columns["x5"])
    data.faults = {"x2", "x3", "region", "x5"}
    return data


def parted_columns(data: Planted, generator: Generator) -> Planted:
    """Split into two versions with the same columns, of which two no longer go together in one."""
    data = halves(data, generator)
    data.columns["x1"] = generator.permutation(data.columns["x1"])
    data.faults = {"table"}
    return data


def _joined(values: Any, more: Any) -> Any:
    return [*values, *more] if isinstance(values, list) else np.concatenate([values, np.asarray(more)])


# --------------------------------------------------------------------------------------------------------- cases
Source = Callable[[Generator], Planted]
Fault = Callable[[Planted, Generator], Planted]


@dataclass(frozen=True)
class Case:
    """One detector held against one kind of fault in one source."""

    detector: str
    source: Source
    plant: Fault
    purpose: str = "quality"
    #: What the clean twin has to go through as well (a split in two).
    also_clean: Fault | None = None

    @property
    def name(self) -> str:
        return f"{self.detector}: {self.plant_name} in {self.source.__name__}"

    @property
    def plant_name(self) -> str:
        return getattr(self.plant, "__name__", "faults").replace("_", " ")

    def faulty(self, seed: int) -> Planted:
        generator = np.random.default_rng([seed, 1])
        return self.plant(self.source(generator), generator)

    def clean(self, seed: int) -> Planted:
        generator = np.random.default_rng([seed, 2])
        data = self.source(generator)
        return self.also_clean(data, generator) if self.also_clean else data


def _conflicting_rows(data: Planted, generator: Generator) -> Planted:
    return repeated_rows(data, generator, label="other")


def _almost_leaked(data: Planted, generator: Generator) -> Planted:
    return leaked(data, generator, almost=True)


_conflicting_rows.__name__ = "conflicting_labels"
_almost_leaked.__name__ = "almost_leaked"

CASES = (
    Case("iqr", table, far_values),
    Case("iqr", medical, far_values),
    Case("iqr", wine, far_values),
    Case("mad", table, far_values),
    Case("mad", medical, far_values),
    Case("mad", wine, far_values),
    Case("mahalanobis", table, broken_pairs),
    Case("mahalanobis", medical, far_values),
    Case("label_issues", table, wrong_labels),
    Case("label_issues", machines, wrong_labels),
    Case("label_issues", medical, wrong_labels),
    Case("label_issues", wine, wrong_labels),
    Case("label_issues", digits, wrong_labels),
    Case("label_issues", texts, wrong_labels),
    Case("conflicting_labels", table, _conflicting_rows),
    Case("conflicting_labels", digits, _conflicting_rows),
    Case("exact_duplicates", table, repeated_rows),
    Case("exact_duplicates", medical, repeated_rows),
    Case("exact_duplicates", digits, repeated_rows),
    Case("exact_duplicates", texts, repeated_rows),
    Case("exact_duplicates", table, leaked, "evaluation", halves),
    Case("exact_duplicates", digits, leaked, "evaluation", halves),
    Case("exact_duplicates", texts, leaked, "evaluation", halves),
    Case("near_duplicates", table, almost_repeated_rows),
    Case("near_duplicates", medical, almost_repeated_rows),
    Case("near_duplicates", digits, almost_repeated_rows),
    Case("near_duplicates", texts, almost_repeated_rows),
    Case("near_duplicates", table, _almost_leaked, "evaluation", halves),
    Case("near_duplicates", digits, _almost_leaked, "evaluation", halves),
    Case("near_duplicates", texts, _almost_leaked, "evaluation", halves),
    Case("label_giveaway", table, giveaways),
    Case("label_giveaway", wine, giveaways),
    Case("class_imbalance", table, rare_class),
    Case("class_imbalance", medical, rare_class),
    Case("constant_columns", table, constant_column),
    Case("constant_columns", medical, constant_column),
    Case("duplicate_columns", table, copied_columns),
    Case("column_drift", table, moved_columns, "drift", halves),
    Case("table_drift", table, parted_columns, "drift", halves),
)
