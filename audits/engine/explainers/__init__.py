"""Explainers by name: the built-in ones first, then plug-ins of the entry-point group ``assay.explainers``."""

from __future__ import annotations

from importlib.metadata import entry_points

from audits.engine.explainers.base import Attribution, Explainer
from audits.engine.explainers.deeplift import DeepLiftExplainer
from audits.engine.explainers.exact import ExactExplainer
from audits.engine.explainers.expected_gradients import ExpectedGradientsExplainer
from audits.engine.explainers.kernel import KernelExplainer
from audits.engine.explainers.partition import PartitionExplainer
from audits.engine.explainers.permutation import PermutationExplainer
from workers.protocol import JobError

GROUP = "assay.explainers"

BUILT_IN: dict[str, type[Explainer]] = {
    explainer.name: explainer
    for explainer in (
        PermutationExplainer,
        ExactExplainer,
        KernelExplainer,
        PartitionExplainer,
        ExpectedGradientsExplainer,
        DeepLiftExplainer,
    )
}

__all__ = [
    "BUILT_IN",
    "GROUP",
    "Attribution",
    "DeepLiftExplainer",
    "ExactExplainer",
    "ExpectedGradientsExplainer",
    "Explainer",
    "KernelExplainer",
    "PartitionExplainer",
    "PermutationExplainer",
    "explainer_named",
]


def explainer_named(name: str) -> type[Explainer]:
    """Return an explainer's class by its name.

    Raises:
        JobError: ``unknown_method`` with the names that are known, or ``plugin_does_not_load`` when it is a plug-in
            that breaks or is no explainer.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    plugins = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in plugins:
        known = ", ".join([*BUILT_IN, *sorted(plugins)])
        raise JobError("unknown_method", f"There is no explainer named {name!r}; known are {known}.", place="method")
    try:
        found = plugins[name].load()
    except Exception as error:
        raise JobError("plugin_does_not_load", f"The explainer {name!r} does not load: {error}.", place=name) from error
    if not (isinstance(found, type) and issubclass(found, Explainer)):
        raise JobError("plugin_does_not_load", f"The plug-in {name!r} is not an Explainer class.", place=name)
    return found
