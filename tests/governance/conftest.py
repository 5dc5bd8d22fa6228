"""The tiny jobs of the fault tests, for tests of the dispatcher."""

from tests.faults.conftest import submit, tiny_kind, work

__all__ = ["submit", "tiny_kind", "work"]
