"""The table of compiled kinds in the documentation is the registry's own, and no kind in it is invented."""

from __future__ import annotations

from pathlib import Path

from validators.engine.compiled.registry import COMPILERS, reference_table

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "expectations.md"


def test_the_documentation_holds_the_table_of_the_registry() -> None:
    assert reference_table() in PAGE.read_text(encoding="utf-8")


def test_every_compiled_kind_is_one_of_great_expectations() -> None:
    from great_expectations.expectations import core
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    assert core.__name__
    assert COMPILERS.keys() <= set(list_registered_expectation_implementations())
