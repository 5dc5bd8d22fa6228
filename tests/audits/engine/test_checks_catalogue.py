"""The catalogue is the one place that knows checks, for both halves, and refuses what a check does not take."""

from __future__ import annotations

import subprocess
import sys

import jsonschema
import pytest

from audits.engine.catalogue import ENTRIES, CriteriaError
from audits.engine.checks import BUILT_IN, check_named
from audits.engine.measures import Bounds
from audits.engine.references import reference_data, references_of


def test_the_control_half_reads_it_without_numpy_or_a_framework() -> None:
    code = (
        "import sys; from audits.engine import catalogue; catalogue.ENTRIES['ROB-01'].parameter_schema; "
        "print(sorted({'numpy', 'pyarrow', 'torch', 'tensorflow', 'shap'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_entry_has_a_check_and_every_check_its_entry() -> None:
    assert list(BUILT_IN) == list(ENTRIES)
    for check_id, entry in ENTRIES.items():
        assert check_named(check_id).entry is entry


@pytest.mark.parametrize("check_id", ENTRIES)
def test_a_check_says_in_five_parts_what_it_is(check_id: str) -> None:
    check = type(check_named(check_id))
    words = check.__doc__ or ""
    places = [
        words.find(f"\n    {part}:") for part in ("How", "Signs of high risk", "What it does not show", "References")
    ]
    assert all(place > 0 for place in places)
    assert places == sorted(places)
    limits = check.limits()
    assert limits.endswith(".")
    assert "References" not in limits
    assert "  " not in limits


@pytest.mark.parametrize("check_id", ENTRIES)
def test_defaults_follow_the_schema_that_the_forms_are_made_of(check_id: str) -> None:
    entry = ENTRIES[check_id]
    jsonschema.validate(entry.default_parameters, entry.parameter_schema)
    assert entry.read_parameters(entry.default_parameters) == entry.parameters()
    assert all(about["description"] for about in entry.parameter_schema["properties"].values())


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"epsilon": 0.1}, "no parameter 'epsilon'; it has eps"),
        ({"eps": "large"}, "`eps` is a number, not 'large'"),
        ({"eps": True}, "`eps` is a number, not True"),
        ({"eps": 0}, "`eps` is at least 1e-09, not 0"),
        ({"steps": 2.5}, "`steps` is a whole number, not 2.5"),
        ({"steps": 20_000}, "`steps` is at most 10000"),
        ({"curve": 2}, "`curve` is a list, not 2"),
        ({"curve": [0.5, "x"]}, "`curve` is a number, not 'x'"),
        ({"eps": float("nan")}, "`eps` is a number, not nan"),
    ],
)
def test_parameters_that_a_check_does_not_take_are_named(parameters: dict[str, object], told: str) -> None:
    with pytest.raises(CriteriaError) as caught:
        ENTRIES["ROB-01"].read_parameters(parameters)
    assert "ROB-01" in str(caught.value)
    assert told in str(caught.value)


def test_a_choice_is_one_of_those_named() -> None:
    with pytest.raises(CriteriaError, match="one of default, accuracy, balanced_accuracy, r2, not 'f1'"):
        ENTRIES["PER-01"].read_parameters({"metric": "f1"})


def test_a_condition_is_filled_up_and_refused_where_it_does_not_fit() -> None:
    entry = ENTRIES["ROB-01"]
    assert entry.read_condition({"min": 0.7}) == {"min": 0.7, "high_below": 0.25}
    with pytest.raises(CriteriaError, match="has no 'max'; it has min, high_below"):
        entry.read_condition({"max": 0.7})
    with pytest.raises(CriteriaError, match=r"min = '0\.7'"):
        entry.read_condition({"min": "0.7"})
    with pytest.raises(CriteriaError, match="above_baseline = 1"):
        ENTRIES["PER-01"].read_condition({"above_baseline": 1})


def test_bounds_of_explanations_have_one_default() -> None:
    defaults = ENTRIES["EXP-01"].default_parameters
    bounded = {name: bound for name, bound in Bounds().to_json().items() if bound is not None}
    assert {name: defaults[name] for name in bounded} == bounded


def test_references_say_source_date_and_how_they_were_checked() -> None:
    data = reference_data()
    assert data["date"]
    assert data["source"]
    found = references_of("ROB-01")
    assert [(entry.framework, entry.id) for entry in found] == [
        ("ATLAS", "AML.T0015"),
        ("ATLAS", "AML.T0043.000"),
        ("OWASP ML", "ML01"),
        ("NIST AI 100-2", "NISTAML.022"),
        ("NIST AI RMF", "MEASURE 2.7"),
        ("EU AI Act", "15(5)"),
    ]
    assert found[0].url == "https://atlas.mitre.org/techniques/AML.T0015"
    assert {entry.checked for check_id in data["checks"] for entry in references_of(check_id)} == {"transcribed"}
    assert references_of("no-such-check") == ()


@pytest.mark.parametrize(
    ("check_id", "value", "condition", "expected"),
    [
        ("ROB-01", 0.5, {"min": 0.5, "high_below": 0.25}, ""),
        ("ROB-01", 0.4, {"min": 0.5, "high_below": 0.25}, "medium"),
        ("ROB-01", 0.2, {"min": 0.5, "high_below": 0.25}, "high"),
        ("PRI-01", 0.65, {"max": 0.6, "high_above": 0.7}, "medium"),
        ("FAIR-01", 0.8 - 0.6, {"max": 0.2}, ""),
        ("ART-01", 1, {"max": 0}, "critical"),
        ("CAL-01", None, {"max": 0.05}, "medium"),
    ],
)
def test_a_value_is_judged_by_its_condition(
    check_id: str, value: float | None, condition: dict[str, float], expected: str
) -> None:
    assert ENTRIES[check_id].judge(value, condition) == expected
