"""Two real data sets that scikit-learn carries, as they might arrive: with faults.

Breast cancer is written as CSV, the digits as NPZ. The planted faults are what the suites are there to find: missing
values, impossible values, rows that came twice, blank and over-exposed scans.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits

SEED = 20


def feature_names() -> list[str]:
    """The 30 measurements of the breast cancer data, as column names."""
    return [str(name).replace(" ", "_") for name in load_breast_cancer().feature_names]


def splits(count: int, generator: np.random.Generator) -> list[str]:
    """Name a part for each row: three in ten are kept for the test."""
    return ["test" if share < 0.3 else "train" for share in generator.random(count)]


def write_breast_cancer(path: Path) -> None:
    """Write 569 patients and the faults: 24 missing values, 6 negative areas, 4 slipped points, 7 repeated rows."""
    generator = np.random.default_rng(SEED)
    bunch = load_breast_cancer()
    names = feature_names()
    parts = splits(len(bunch.target), generator)
    rows: list[list[Any]] = [
        [f"P-{index:04d}", *(f"{value:.6g}" for value in values), int(label), parts[index]]
        for index, (values, label) in enumerate(zip(bunch.data, bunch.target, strict=True))
    ]
    columns = ["patient_id", *names, "diagnosis", "split"]
    faulty = generator.permutation(len(rows))
    for index in faulty[:24]:
        rows[index][columns.index("mean_texture")] = ""
    for index in faulty[24:30]:
        rows[index][columns.index("mean_area")] = "-1"
    for index in faulty[30:34]:
        rows[index][columns.index("mean_smoothness")] = (
            f"{float(rows[index][columns.index('mean_smoothness')]) * 100:.6g}"
        )
    rows += [list(rows[index]) for index in faulty[40:47]]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(rows)


def write_digits(path: Path) -> None:
    """Write 1,797 scans and the faults: 10 blank scans, 8 over-exposed ones, 12 repeated rows."""
    generator = np.random.default_rng(SEED)
    bunch = load_digits()
    images = bunch.images.astype(np.float32)
    parts = splits(len(images), generator)
    faulty = generator.permutation(len(images))
    images[faulty[:10]] = 0
    images[faulty[10:18]] *= 16
    order = np.concatenate([np.arange(len(images)), faulty[20:32]])
    np.savez_compressed(
        path,
        scan_id=np.asarray([f"S-{index:04d}" for index in order]),
        image=images[order],
        digit=bunch.target[order].astype(np.int64),
        split=np.asarray(parts)[order],
    )


def breast_cancer_schema() -> dict[str, Any]:
    columns = {"patient_id": {"role": "id", "type": "string"}}
    columns |= {name: {"role": "feature", "type": "float"} for name in feature_names()}
    columns |= {"diagnosis": {"role": "target", "type": "integer"}, "split": {"role": "split", "type": "category"}}
    return {"modality": "tabular", "columns": columns}


def breast_cancer_signature() -> dict[str, Any]:
    """Say which columns feed the model and which classes it answers with."""
    return {
        "inputs": [{"name": "features", "shape": [-1, 30], "dtype": "float32", "columns": feature_names()}],
        "outputs": [
            {
                "name": "answer",
                "shape": [-1, 2],
                "dtype": "float32",
                "kind": "logits",
                "classes": ["malignant", "benign"],
            },
        ],
    }


def digits_schema() -> dict[str, Any]:
    return {
        "modality": "image",
        "columns": {
            "scan_id": {"role": "id", "type": "string"},
            "image": {"role": "feature", "type": "image", "shape": [8, 8]},
            "digit": {"role": "target", "type": "integer"},
            "split": {"role": "split", "type": "category"},
        },
    }


def breast_cancer_suite() -> dict[str, Any]:
    """What a row has to be, in Great Expectations' words; ``meta.clean`` says what becomes of a row that is not."""

    def expectation(kind: str, action: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": kind, "kwargs": kwargs, "severity": "critical"}
        return entry | ({"meta": {"clean": action}} if action else {})

    return {
        "name": "breast-cancer",
        "expectations": [
            expectation("expect_column_values_to_be_unique", {"action": "dedupe"}, column="patient_id"),
            expectation(
                "expect_column_values_to_not_be_null", {"action": "impute", "method": "median"}, column="mean_texture"
            ),
            expectation(
                "expect_column_values_to_be_between",
                {"action": "quarantine"},
                column="mean_area",
                min_value=0,
                max_value=4000,
            ),
            expectation(
                "expect_column_values_to_be_between",
                {"action": "quarantine"},
                column="mean_smoothness",
                min_value=0,
                max_value=1,
            ),
            expectation(
                "expect_column_values_to_be_in_set", {"action": "quarantine"}, column="diagnosis", value_set=[0, 1]
            ),
            expectation("expect_table_row_count_to_be_between", min_value=300, max_value=1000),
        ],
    }


def digits_suite() -> dict[str, Any]:
    """A scan has ink (its brightest pixel is not 0) and is not over-exposed (no pixel above 16)."""
    return {
        "name": "digits",
        "expectations": [
            {
                "type": "expect_column_values_to_be_unique",
                "kwargs": {"column": "scan_id"},
                "severity": "critical",
                "meta": {"clean": {"action": "dedupe"}},
            },
            {
                "type": "expect_column_values_to_be_between",
                "kwargs": {"column": "image.maximum", "min_value": 1, "max_value": 16},
                "severity": "critical",
                "meta": {"clean": {"action": "quarantine"}},
            },
            {
                "type": "expect_column_values_to_be_between",
                "kwargs": {"column": "digit", "min_value": 0, "max_value": 9},
                "severity": "critical",
                "meta": {"clean": {"action": "quarantine"}},
            },
        ],
    }
