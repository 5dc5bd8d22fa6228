"""Loads a model by the name of its framework, and imports that framework only."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from workers.frameworks.base import Framework, Model
from workers.protocol import JobError
from workers.signature import Signature

GROUP = "assay.frameworks"

#: The frameworks that come with Assay. They are found without entry points, which an old install may lack.
BUILT_IN = {
    "keras": "workers.frameworks.keras:KerasFramework",
    "pytorch": "workers.frameworks.pytorch:PyTorchFramework",
}


#: Adapters of formats that a framework's own adapter does not load, by framework and ending of the rewritten file.
OTHER_FORMATS = {
    ("keras", ".saved_model"): "workers.frameworks.keras_saved_model:SavedModelFramework",
    ("keras", ".package"): "workers.frameworks.keras_package:KerasPackageFramework",
    ("pytorch", ".torchscript"): "workers.frameworks.pytorch_script:ScriptFramework",
    ("pytorch", ".package"): "workers.frameworks.pytorch_package:PyTorchPackageFramework",
}


def framework_names() -> list[str]:
    """Return the names of the built-in frameworks and of installed plug-ins; nothing is imported."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=GROUP))})


def framework_named(name: str, suffix: str = "") -> Framework:
    """Import one framework's adapter; ``suffix`` is the ending of the file that it is to load.

    Raises:
        JobError: code ``framework_unknown``, or ``framework_does_not_load`` with the plug-in's name and the reason.
    """
    target = OTHER_FORMATS.get((name, suffix)) or BUILT_IN.get(name)
    target = target or next((point.value for point in entry_points(group=GROUP) if point.name == name), "")
    if not target:
        raise JobError(
            "framework_unknown",
            f"There is no framework {name!r}; known are {', '.join(framework_names())}.",
            place=name,
        )
    try:
        # A plug-in is other people's code: whatever its import raises is told with its name.
        point = EntryPoint(name=name, value=target, group=GROUP)
        framework = getattr(import_module(point.module), point.attr)()
    except JobError:
        # Where the sandbox is not whole, the import of a framework is refused: that is not the plug-in's doing.
        raise
    except Exception as error:
        raise JobError(
            "framework_does_not_load",
            f"The framework plug-in {name!r} ({target}) does not load: {type(error).__name__}: {error}.",
            place=name,
        ) from error
    if not isinstance(framework, Framework):
        raise JobError(
            "framework_does_not_load",
            f"The framework plug-in {name!r} ({target}) is not a Framework.",
            place=name,
        )
    return framework


def load_model(path: Path, *, framework: str, signature: Signature | None, device: str, seed: int) -> Model:
    """Load a rewritten artefact with the framework of this name; see ``Framework.load``."""
    return framework_named(framework, path.suffix).load(path, signature=signature, device=device, seed=seed)
