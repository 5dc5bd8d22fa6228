"""May this happen? Asked of every gate that ``GOVERNANCE_GATES`` names, in order.

A gate is a callable that takes the facts by keyword and returns the reasons against, as full sentences; none means
yes. Gates are asked inside the transaction of what they guard, and one that raises stops it: an error is not a pass.

- ``training``, ``evaluation`` and ``audit`` get ``version`` and ``dataset``;
- ``approval`` gets ``version`` and ``review``, whose evidence is cited already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from governance.exceptions import GateClosed

Gate = Callable[..., list[str]]


def ask(name: str, **facts: Any) -> list[str]:
    """Return every reason against, of every gate of this name; a name that settings do not list is an error."""
    if name not in settings.GOVERNANCE_GATES:
        raise ImproperlyConfigured(f"GOVERNANCE_GATES has no entry {name!r}; an open gate is an empty list.")
    reasons: list[str] = []
    for path in settings.GOVERNANCE_GATES[name]:
        answer = import_string(path)(**facts)
        if not isinstance(answer, list):
            raise TypeError(f"The gate {path} answered {type(answer).__name__}; a gate answers with a list of reasons.")
        reasons += answer
    return reasons


def demand(name: str, refusal: str, **facts: Any) -> None:
    """Ask the gates of a name, inside the transaction of what they guard.

    Raises:
        GateClosed: with ``refusal`` (what may not happen) followed by the first reason, and all reasons.
    """
    reasons = ask(name, **facts)
    if reasons:
        raise GateClosed(f"{refusal}: {reasons[0]}", reasons=reasons)


@register("governance")
def gates_can_be_asked(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001 - the signature of a check
    """Tell of a gate that cannot be imported when the installation starts, not when it is needed."""
    problems: list[CheckMessage] = []
    for name, paths in settings.GOVERNANCE_GATES.items():
        for path in paths:
            try:
                import_string(path)
            except ImportError as error:
                problems.append(
                    Error(
                        f"The gate {path!r} of {name!r} cannot be imported: {error}",
                        hint="Name a callable that exists in GOVERNANCE_GATES, or take the entry out.",
                        id="governance.E001",
                    )
                )
    return problems
