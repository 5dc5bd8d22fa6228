"""Rows far from all others although each of their values may be usual."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validators.engine.screening.base import ColumnFinding, Detection, Detector, ScreeningContext, not_applicable
from validators.engine.screening.catalogue import ENTRIES
from validators.engine.screening.features import numbers_matrix
from workers.statistics import wilson
from workers.words import counted, share_with_interval

FloatArray = NDArray[np.float64]

#: Rows that the fit needs for each column.
ROWS_A_COLUMN = 10
#: What a median absolute deviation of a normal sample is multiplied with to be its standard deviation.
NORMAL_SCALE = 1.4826
#: Named in the reason of a row: the columns that contribute most to its distance.
_NAMED_COLUMNS = 3


@dataclass(frozen=True)
class _Fit:
    """Robust scale of each column, location and inverse covariance of the scaled ones, and the null of the distance."""

    columns: list[str]
    middle: FloatArray
    scale: FloatArray
    location: FloatArray
    precision: FloatArray
    null_centre: float
    null_spread: float

    def scaled(self, values: FloatArray) -> FloatArray:
        return _compressed(values, self.middle, self.scale)

    def squared(self, scaled: FloatArray) -> FloatArray:
        centred = scaled - self.location
        return np.asarray(((centred @ self.precision) * centred).sum(axis=1))

    def p_values(self, squared: FloatArray) -> FloatArray:
        from scipy.stats import norm

        return np.asarray(norm.sf((np.cbrt(squared) - self.null_centre) / self.null_spread))


class MahalanobisOutliers(Detector):
    """Rows whose values do not go together, as the others' do: a tall person of 20 kg.

    How: each column in robust standard deviations, far ones compressed (the inverse hyperbolic sine), so that a skewed
    column makes no outliers by itself; robust location and covariance by the minimum covariance determinant (Rousseeuw
    and Van Driessen, 1999; scikit-learn) on a sample; the distance of every row. Its cube root is nearly normal where
    the columns are (Wilson and Hilferty, 1931); centre and spread of that are taken from the data where their tails are
    longer than the chi-square ones (an empirical null, Efron, 2004). Rows are flagged by Benjamini and Hochberg (1995)
    at the stated rate of false discoveries.

    Signs of high risk: flagged rows that come from one source, one time or one class.

    What it does not show: outliers in columns that are not numbers, and groups of faults that are more than a quarter
    of all rows. A rare but right kind of row is flagged as well: it is for a person to look at.
    """

    entry = ENTRIES["mahalanobis"]

    def run(self, context: ScreeningContext) -> Detection:
        data, settings = context.data, context.parameters
        names = data.numbers()
        if len(names) < 2:
            return not_applicable("It takes at least two columns of measured numbers.")
        if len(names) > settings.most_columns:
            return not_applicable(
                f"{len(names):,} columns of numbers are more than the {settings.most_columns} it takes."
            )
        if data.count < ROWS_A_COLUMN * len(names):
            return not_applicable(
                f"A covariance of {len(names):,} columns needs {ROWS_A_COLUMN * len(names):,} rows; there are "
                f"{data.count:,}."
            )
        sample = data.sample(names, settings.fit_rows, context.generator)
        fit = _fit(names, numbers_matrix(sample.table, names), context.seed)
        if fit is None:
            return not_applicable("Fewer than two columns of numbers vary by themselves.")
        context.tell(0.4)
        candidates = self._candidates(context, fit)
        flagged = benjamini_hochberg(candidates["p"], settings.false_discovery_rate, data.count)
        self._keep(context, fit, {name: values[flagged] for name, values in candidates.items()})
        return self._told(context, fit, sample.count if not sample.is_whole else None)

    @staticmethod
    def _candidates(context: ScreeningContext, fit: _Fit) -> dict[str, FloatArray]:
        """Return row, p-value, distance and contributions of the rows that may be flagged: p at most the asked rate."""
        kept: dict[str, list[FloatArray]] = {"row": [], "p": [], "distance": [], "contributions": []}
        for first, batch in context.data.batches(fit.columns):
            scaled = fit.scaled(numbers_matrix(batch, fit.columns))
            squared = fit.squared(scaled)
            p = fit.p_values(squared)
            chosen = np.flatnonzero(p <= context.parameters.false_discovery_rate)
            centred = scaled[chosen] - fit.location
            kept["row"].append((chosen + first).astype(np.float64))
            kept["p"].append(p[chosen])
            kept["distance"].append(np.sqrt(squared[chosen]))
            kept["contributions"].append(centred * (centred @ fit.precision))
            context.tell(0.4 + 0.6 * (first + batch.num_rows) / context.data.count)
        return {name: np.concatenate(parts) for name, parts in kept.items()}

    @staticmethod
    def _keep(context: ScreeningContext, fit: _Fit, flagged: dict[str, FloatArray]) -> None:
        reasons = []
        for distance, parts in zip(flagged["distance"], flagged["contributions"], strict=True):
            worst = [fit.columns[place] for place in np.argsort(-parts)[:_NAMED_COLUMNS]]
            reasons.append(f"Robust distance {distance:.3g}, most of it by {', '.join(worst)} taken together.")
        context.rows.keep(flagged["row"], scores=flagged["distance"], reasons=reasons)

    def _told(self, context: ScreeningContext, fit: _Fit, fitted_on: int | None) -> Detection:
        found, n = context.rows.count, context.data.count
        share = wilson(found, n)
        rate = context.parameters.false_discovery_rate
        how = f"in {counted(len(fit.columns), 'column')} taken together, false discoveries at most {100 * rate:g} %"
        sentence = (
            f"{counted(found, 'row')} of {n:,} ({share_with_interval(share)}) far from the others {how}."
            if found
            else f"No row is far from the others {how}."
        )
        if fitted_on is not None:
            sentence += f" Location and covariance are those of {fitted_on:,} rows drawn with seed {context.seed}."
        return Detection(
            "found" if found else "not_found",
            sentence,
            count=found,
            share=share,
            columns=[ColumnFinding(name, 0.0, "Used in the distance.") for name in fit.columns],
            detail={"fit_rows": fitted_on or n, "null_centre": fit.null_centre, "null_spread": fit.null_spread},
        )


def benjamini_hochberg(p_values: FloatArray, rate: float, tests: int) -> NDArray[np.bool_]:
    """Tell which tests are discoveries; tests that are not given have p-values above the rate.

    Source: Y. Benjamini, Y. Hochberg, Controlling the false discovery rate, JRSS B 57 (1995), 289-300.
    """
    ordered = np.sort(p_values)
    passing = np.flatnonzero(ordered <= rate * np.arange(1, len(ordered) + 1) / max(1, tests))
    limit = ordered[passing[-1]] if len(passing) else -1.0
    return np.asarray(p_values <= limit)


def _fit(names: list[str], values: FloatArray, seed: int) -> _Fit | None:
    """Fit the minimum covariance determinant on those columns that no others determine."""
    from scipy.stats import chi2
    from sklearn.covariance import MinCovDet

    values = np.where(np.isfinite(values), values, np.nan)
    middle = np.nanmedian(values, axis=0)
    scale = NORMAL_SCALE * np.nanmedian(np.abs(values - middle), axis=0)
    spread = np.nanstd(values, axis=0)
    scale = np.where(scale > 0, scale, spread)
    usable = np.flatnonzero(np.isfinite(scale) & (scale > 0))
    usable = usable[_independent(_compressed(values[:, usable], middle[usable], scale[usable]))]
    if len(usable) < 2:
        return None
    scaled = _compressed(values[:, usable], middle[usable], scale[usable])
    with warnings.catch_warnings():
        # Discrete columns may give subsets of less than full rank; the reweighted estimate is checked by its distances.
        warnings.simplefilter("ignore")
        estimate = MinCovDet(random_state=seed % 2**32).fit(scaled)
    fit = _Fit(
        columns=[names[place] for place in usable],
        middle=middle[usable],
        scale=scale[usable],
        location=estimate.location_,
        precision=estimate.get_precision(),
        null_centre=0.0,
        null_spread=1.0,
    )
    roots = np.cbrt(fit.squared(scaled))
    p = len(usable)
    centre = max(float(np.median(roots)), float(np.cbrt(chi2.median(p))))
    observed = NORMAL_SCALE * float(np.median(np.abs(roots - np.median(roots))))
    # Of a chi-square with p degrees, the cube root has the variance 2 / (9 p) times p to the power 2/3.
    spread_of_normal = math.sqrt(2 / (9 * p)) * p ** (1 / 3)
    return _Fit(**{**vars(fit), "null_centre": centre, "null_spread": max(observed, spread_of_normal)})


def _compressed(values: FloatArray, middle: FloatArray, scale: FloatArray) -> FloatArray:
    """Scale columns and compress what lies far out, which the detectors of single values see.

    What is missing is taken to be usual, so that it makes no row an outlier.
    """
    return np.asarray(np.arcsinh(np.nan_to_num((values - middle) / scale, nan=0.0, posinf=1e6, neginf=-1e6)))


def _independent(scaled: FloatArray) -> NDArray[np.intp]:
    """Return the columns that are no linear mix of others (pivoted QR), in their order."""
    from scipy.linalg import qr

    upper, pivots = qr(scaled, mode="r", pivoting=True)
    sizes = np.abs(np.diag(upper))
    rank = int((sizes > 1e-6 * max(sizes[0], 1e-300)).sum()) if len(sizes) else 0
    return np.sort(pivots[:rank])
