"""Gates for tests of whoever asks them."""

from __future__ import annotations

from typing import Any

asked: list[dict[str, Any]] = []


def opens(**facts: Any) -> list[str]:
    asked.append(facts)
    return []


def closes(**facts: Any) -> list[str]:
    return ["The sky is grey.", "It is Monday."]


def says_yes(**facts: Any) -> bool:
    return True


def breaks(**facts: Any) -> list[str]:
    raise RuntimeError("the gate is broken")
