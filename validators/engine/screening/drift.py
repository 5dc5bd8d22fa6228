"""Columns whose distribution is another one than in the version before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from validators.engine.screening.base import ColumnFinding, Detection, Detector, ScreeningContext, not_applicable
from validators.engine.screening.catalogue import ENTRIES
from validators.engine.screening.charts import codes_chart, numbers_chart
from validators.engine.screening.features import codes_of, floats, is_number
from validators.engine.screening.mahalanobis import benjamini_hochberg
from validators.engine.screening.screened import FEWEST_NUMBERS, Screened, blocks
from workers.statistics import wilson
from workers.words import counted, listed, number

FloatArray = NDArray[np.float64]

ROLES = ("feature", "protected", "target", "metadata")
#: With fewer rows of a version nothing is compared.
FEWEST_ROWS = 30
#: Parts of equal mass in which numbers are compared by PSI and Jensen-Shannon.
PARTS = 10
#: Categories that are compared by themselves; the rest is one.
MOST_CATEGORIES = 30
#: What an empty part counts as, so that PSI is finite.
_FLOOR = 1e-4
#: Columns read at once.
_BLOCK = 20


@dataclass(frozen=True)
class Moved:
    """How one column of two versions differs.

    Attributes:
        p: of the test that both come from one distribution.
        effect: the largest difference in the probability of an event, from 0 to 1: Kolmogorov-Smirnov's distance of
            numbers, the total variation of categories, the difference of missing shares.
        psi, jensen_shannon: over parts of equal mass or categories; None for missing shares.
        what: which of the three was compared.
    """

    column: str
    what: str
    p: float
    effect: float
    psi: float | None = None
    jensen_shannon: float | None = None

    def reason(self) -> str:
        word = {
            "numbers": "Kolmogorov-Smirnov distance",
            "categories": "total variation",
            "missing": "missing share by",
        }
        text = f"{word[self.what]} {number(self.effect, 3)}"
        if self.psi is not None and self.jensen_shannon is not None:
            text += f", PSI {number(self.psi, 2)}, Jensen-Shannon {number(self.jensen_shannon, 3)}"
        return f"{text[0].upper()}{text[1:]}, p = {self.p:.2g}."


class ColumnDrift(Detector):
    """Columns that are distributed differently in the two versions.

    How: numbers by the two-sample Kolmogorov-Smirnov test, categories by chi-square, missing values as a question of
    their own; all tests of the table corrected together by Benjamini and Hochberg (1995). With many rows everything is
    significant, so the difference also has to matter: at least 0.1 in the probability of some event. The population
    stability index and the Jensen-Shannon divergence (base 2) stand beside it.

    Signs of high risk: columns that the model leans on (see its explanation), or missing values that have come or gone.

    What it does not show: changes of columns together (the table as a whole is asked by another detector), of their
    relation to the label, and whether a model suffers from them. Rows that depend on each other make p too small.
    """

    entry = ENTRIES["column_drift"]

    def run(self, context: ScreeningContext) -> Detection:
        data, other, settings = context.data, context.other(), context.parameters
        if min(data.count, other.count) < FEWEST_ROWS:
            return not_applicable(f"Each version needs at least {FEWEST_ROWS} rows.")
        names, alone = _shared(data, other)
        if not names:
            return not_applicable(f"{data.ref} and {other.ref} have no column of single values in common.")
        tests: list[Moved] = []
        for done, group in enumerate(blocks(names, _BLOCK)):
            ours, theirs = (version.sample(group, settings.rows, context.generator) for version in (data, other))
            for name in group:
                tests += compare(name, ours.column(name), theirs.column(name))
            context.tell(min(1.0, 0.9 * (done + 1) * _BLOCK / len(names)))
        p_values = np.array([test.p for test in tests])
        is_discovery = benjamini_hochberg(p_values, settings.false_discovery_rate, len(tests))
        moved = [
            test for test, is_one in zip(tests, is_discovery, strict=True) if is_one and test.effect >= settings.effect
        ]
        moved.sort(key=lambda test: (-test.effect, test.p))
        return self._told(context, names, alone, moved)

    @staticmethod
    def _told(context: ScreeningContext, names: list[str], alone: list[str], moved: list[Moved]) -> Detection:
        data, other, settings = context.data, context.other(), context.parameters
        columns = list(dict.fromkeys(test.column for test in moved))
        sentence = (
            f"{counted(len(columns), 'column')} of {len(names):,} {'is' if len(columns) == 1 else 'are'} distributed "
            f"differently from {other.ref}: {listed(columns)}."
            if columns
            else f"No column of {len(names):,} is shown to be distributed differently from {other.ref}."
        )
        rate = f"{100 * settings.false_discovery_rate:g} %"
        sentence += f" False discoveries at most {rate}, effect at least {settings.effect:g}."
        if alone:
            sentence += f" Only in one of the two: {listed(alone)}."
        compared = [min(version.count, settings.rows) for version in (data, other)]
        if compared != [data.count, other.count]:
            sentence += f" Compared were {compared[0]:,} and {compared[1]:,} rows drawn with seed {context.seed}."
        charts = [_chart(context, test, place) for place, test in enumerate(_drawn(moved)[: settings.charts])]
        return Detection(
            "found" if columns else "not_found",
            sentence,
            count=len(columns),
            unit="columns",
            share=wilson(len(columns), len(names)),
            columns=[ColumnFinding(test.column, test.effect, test.reason()) for test in moved],
            charts=charts,
            detail={"compared_rows": compared, "only_in_one": alone},
            looked_at=None if compared[0] == data.count else compared[0],
        )


def compare(name: str, ours: pa.Array, theirs: pa.Array) -> list[Moved]:
    """Return how a column of two versions differs: its values, and its missing values where there are some."""
    found = []
    missing = np.array([ours.null_count, theirs.null_count])
    sizes = np.array([len(ours), len(theirs)])
    if is_number(ours) or pa.types.is_temporal(ours.type) or pa.types.is_boolean(ours.type):
        left, right = floats(ours), floats(theirs)
        missing = np.array([np.isnan(left).sum(), np.isnan(right).sum()])
        left, right = left[~np.isnan(left)], right[~np.isnan(right)]
        if len(left) and len(right):
            few = len(np.unique(np.concatenate([left, right]))) < FEWEST_NUMBERS
            found.append(_of_codes(name, *_float_codes(left, right)) if few else _of_numbers(name, left, right))
    else:
        left_texts, right_texts = ours.drop_null(), theirs.drop_null()
        if len(left_texts) and len(right_texts):
            codes = codes_of(pa.concat_arrays([left_texts, right_texts]))
            found.append(_of_codes(name, codes[: len(left_texts)], codes[len(left_texts) :]))
    if missing.any():
        p = _chi_square(np.stack([missing, sizes - missing]))
        found.append(Moved(name, "missing", p, float(abs(np.subtract(*(missing / sizes))))))
    return found


def _of_numbers(name: str, ours: FloatArray, theirs: FloatArray) -> Moved:
    from scipy.stats import ks_2samp

    test = ks_2samp(ours, theirs, method="asymp")
    edges = np.unique(np.quantile(theirs, np.linspace(0, 1, PARTS + 1)[1:-1]))
    shares = [
        np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1) / len(values)
        for values in (ours, theirs)
    ]
    return Moved(name, "numbers", float(test.pvalue), float(test.statistic), _psi(*shares), jensen_shannon(*shares))


def _of_codes(name: str, ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> Moved:
    size = int(max(ours.max(), theirs.max())) + 1
    counts = np.stack([np.bincount(codes, minlength=size) for codes in (ours, theirs)])
    order = np.argsort(-counts.sum(axis=0), kind="stable")
    rest = counts[:, order[MOST_CATEGORIES:]].sum(axis=1, keepdims=True)
    counts = np.concatenate([counts[:, order[:MOST_CATEGORIES]], rest], axis=1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    effect = float(np.abs(shares[0] - shares[1]).sum() / 2)
    return Moved(name, "categories", _chi_square(counts), effect, _psi(*shares), jensen_shannon(*shares))


def _float_codes(ours: FloatArray, theirs: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    codes = np.unique(np.concatenate([ours, theirs]), return_inverse=True)[1].astype(np.int64)
    return codes[: len(ours)], codes[len(ours) :]


def _chi_square(counts: NDArray[np.int64]) -> float:
    """Return the p-value that rows and columns of a table of counts are independent; 1 where nothing varies."""
    from scipy.stats import chi2_contingency

    counts = counts[:, counts.sum(axis=0) > 0]
    counts = counts[counts.sum(axis=1) > 0]
    if min(counts.shape) < 2:
        return 1.0
    return float(chi2_contingency(counts, correction=False).pvalue)


def _psi(ours: FloatArray, theirs: FloatArray) -> float:
    """Return the population stability index of two sets of shares; an empty part counts as 0.01 %."""
    left, right = np.maximum(ours, _FLOOR), np.maximum(theirs, _FLOOR)
    return float(((left - right) * np.log(left / right)).sum())


def jensen_shannon(ours: FloatArray, theirs: FloatArray) -> float:
    """Return the Jensen-Shannon divergence of two sets of shares, base 2: 0 for the same, 1 for nothing in common."""
    middle = (ours + theirs) / 2

    def half(shares: FloatArray) -> float:
        there = shares > 0
        return float((shares[there] * np.log2(shares[there] / middle[there])).sum())

    return (half(ours) + half(theirs)) / 2


def _shared(data: Screened, other: Screened) -> tuple[list[str], list[str]]:
    """Return the columns that can be compared, and those that only one version has or that changed their type."""
    ours, theirs = (
        {name for name in version.columns(roles=ROLES) if version.is_scalar(name)} for version in (data, other)
    )
    alike = {name for name in ours & theirs if _is_alike(data.described(name).type, other.described(name).type)}
    return [name for name in data.names if name in alike], sorted((ours | theirs) - alike)


def _is_alike(one: str, other: str) -> bool:
    numbers, words = {"float", "integer", "decimal", "boolean"}, {"category", "string", "text"}
    return one == other or {one, other} <= numbers or {one, other} <= words


def _drawn(moved: Sequence[Moved]) -> list[Moved]:
    """Return the tests that a picture says more about than their numbers: one a column, none of missing shares."""
    firsts: dict[str, Moved] = {}
    for test in moved:
        if test.what != "missing":
            firsts.setdefault(test.column, test)
    return list(firsts.values())


def _chart(context: ScreeningContext, test: Moved, place: int) -> dict[str, object]:
    data, other = context.data, context.other()
    limit = context.parameters.rows
    ours, theirs = (
        version.sample([test.column], limit, context.generator).column(test.column) for version in (data, other)
    )
    caption = f"{test.column} in {data.ref} and in {other.ref}. {test.reason()}"
    if test.what == "numbers":
        drawing = numbers_chart(test.column, floats(ours), floats(theirs), data.ref, other.ref)
    else:
        left, right = (pc.cast(values.drop_null(), pa.string()) for values in (ours, theirs))
        drawing = codes_chart(test.column, left, right, data.ref, other.ref)
    return context.chart(f"{place + 1}", caption=caption, **drawing)
