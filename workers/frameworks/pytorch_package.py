"""PyTorch model packages: a factory of the package builds the module, a safetensors file fills it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load_file, save_file
from torch.overrides import TorchFunctionMode

from workers.entry_point import EntryPoint
from workers.frameworks.base import EpochRecord, Framework, History, TrainingRows
from workers.frameworks.fitting import OwnLoss
from workers.frameworks.package import OpenedPackage
from workers.frameworks.pytorch_graph import PASSING, SIGMOID, SOFTMAX, Answer, FeaturesMissingError
from workers.frameworks.pytorch_model import Run, TrainableModel
from workers.frameworks.pytorch_running import environment, prepare
from workers.frameworks.rows import demand_signature
from workers.protocol import JobError
from workers.recipe import Recipe
from workers.signature import OutputSpec, Signature

#: Rows of zeros with which a module is tried out; few models have so many inputs or classes by chance.
_TRIED_ROWS = 7


class PyTorchPackageModel(TrainableModel):
    """A module that a package's code has built."""

    def __init__(self, package: OpenedPackage, module: torch.nn.Module, *, signature: Signature, device: str) -> None:
        self._package = package
        self._module = module.to(device)
        self._recipe: Recipe | None = None
        super().__init__(signature=signature, device=device, holder=self._module, finds_logits=False)
        self._finds_logits = self._try_out()

    def fit(self, rows: TrainingRows, recipe: Recipe, *, on_epoch: Callable[[EpochRecord], None]) -> History:
        self._recipe = recipe
        return super().fit(rows, recipe, on_epoch=on_epoch)

    def save(self, path: Path) -> None:
        """Write a package of the same sources; the same weights and recipe give the same bytes."""
        # Copies, since the file has one entry a name, also for weights that two names share.
        tensors = {name: tensor.cpu().clone().contiguous() for name, tensor in self._tensors().items()}
        with tempfile.TemporaryDirectory() as folder:
            weights = Path(folder, "weights")
            save_file(tensors, weights)
            recipe = None if self._recipe is None else self._recipe.to_json()
            self._package.write(path, weights, signature=self.signature, recipe=recipe)

    def layers(self) -> list[dict[str, Any]]:
        """Describe the modules that have no inner ones or weights of their own, in the order of their first call."""
        told: dict[str, dict[str, Any]] = {}
        counted: set[int] = set()

        def tell(name: str, module: torch.nn.Module, _inputs: Any, answer: Any) -> None:
            if name in told:
                return
            own = [weight for weight in module.parameters(recurse=False) if id(weight) not in counted]
            counted.update(map(id, own))
            tensors = list(_tensors_in(answer))
            told[name] = {
                "name": name or type(module).__name__,
                "kind": type(module).__name__,
                "output_shape": [-1, *tensors[0].shape[1:]] if tensors and tensors[0].ndim else [],
                "parameter_count": sum(weight.numel() for weight in own),
            }

        described = [
            (name, module)
            for name, module in self._module.named_modules()
            if not any(module.children()) or any(module.parameters(recurse=False))
        ]
        hooks = [module.register_forward_hook(partial(tell, name)) for name, module in described]
        try:
            self._run(training=False, answer="output")(*self._zeros())
        finally:
            for hook in hooks:
                hook.remove()
        return list(told.values())

    def _own_loss(self, name: EntryPoint) -> OwnLoss:
        return self._package.loss(name)

    def _run(self, *, training: bool, answer: Answer) -> Run:
        return partial(self._answer, training, answer)

    def _answer(self, training: bool, answer: Answer, *tensors: torch.Tensor) -> torch.Tensor:
        if self._module.training != training:
            self._module.train(training)
        if answer == "features":
            with _watching_features(self._module) as entered:
                self._module(*tensors)
            if not entered:
                raise FeaturesMissingError
            return entered[-1]
        if answer == "logits":
            with _ActivationWatch() as watch:
                given = _first(self._module(*tensors))
            scores = watch.before(given)
            return given if scores is None else scores
        return _first(self._module(*tensors))

    def _tensors(self) -> dict[str, torch.Tensor]:
        return {name: tensor.detach() for name, tensor in self._module.state_dict().items()}

    def _zeros(self) -> list[torch.Tensor]:
        return [
            torch.zeros(_TRIED_ROWS, *spec.row_shape, dtype=getattr(torch, spec.dtype), device=self.device)
            for spec in self.signature.inputs
        ]

    def _try_out(self) -> bool:
        """Give the module rows of zeros, compare the answers with the signature, and tell whether logits are found.

        Raises:
            JobError: ``model_does_not_load``, when it breaks or answers something else.
        """
        self._module.eval()
        with self._package.running(f"The module does not answer {_TRIED_ROWS} rows of zeros"), torch.no_grad():
            with _ActivationWatch() as watch:
                given = self._module(*self._zeros())
            answers = list(_tensors_in(given))
        stated = self.signature.outputs
        if len(answers) != len(stated):
            raise _refused(f"The module gives {len(answers)} tensors; the signature states {len(stated)}.")
        for tensor, spec in zip(answers, stated, strict=True):
            _compare(tensor, spec)
        finds_logits = watch.before(answers[0]) is not None
        if finds_logits and stated[0].kind == "logits":
            raise _refused(
                f"The output {stated[0].name!r} ends in a softmax or sigmoid, so it gives probabilities, and logits as "
                "stated."
            )
        return finds_logits


class PyTorchPackageFramework(Framework):
    """PyTorch through a model package."""

    name: ClassVar[str] = "pytorch"
    formats: ClassVar[tuple[str, ...]] = ("package",)

    def load(self, path: Path, *, signature: Signature | None, device: str, seed: int) -> PyTorchPackageModel:
        prepare(device, seed)
        package = OpenedPackage.open(path)
        found = package.manifest.signature
        if found is None or package.manifest.entry_point is None:
            raise _refused("The package states no signature or no entry point.")
        if signature is not None:
            demand_signature(found, signature, place=path.name)
        module = _build(package, package.manifest.entry_point)
        _fill(module, load_file(package.payload))
        return PyTorchPackageModel(package, module, signature=signature or found, device=device)

    def environment(self) -> dict[str, Any]:
        return environment()


class _ActivationWatch(TorchFunctionMode):
    """Remembers what went into each softmax and sigmoid, and what their answers were passed through."""

    def __init__(self) -> None:
        super().__init__()
        # By identity, each with both tensors, which stay alive and so keep their identity.
        self._made: dict[int, tuple[torch.Tensor, torch.Tensor, bool]] = {}

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        answer = function(*args, **(kwargs or {}))
        name = getattr(function, "__name__", "")
        source = args[0] if args else (kwargs or {}).get("input")
        activates = name in SOFTMAX or name in SIGMOID
        if (activates or name in PASSING) and isinstance(source, torch.Tensor) and answer is not source:
            self._made[id(answer)] = (answer, source, activates)
        return answer

    def before(self, answer: torch.Tensor) -> torch.Tensor | None:
        """Return what went into the softmax or sigmoid that made an answer, if one did."""
        while id(answer) in self._made:
            _, source, activates = self._made[id(answer)]
            if activates:
                return source
            answer = source
        return None


@contextmanager
def _watching_features(module: torch.nn.Module) -> Iterator[list[torch.Tensor]]:
    """Collect what enters each module with a weight matrix of its own, in the order of the calls."""
    entered: list[torch.Tensor] = []

    def remember(_module: torch.nn.Module, args: Any, kwargs: Any) -> None:
        entered.extend(list(_tensors_in((*args, *kwargs.values())))[:1])

    weighted = [
        inner
        for inner in module.modules()
        if any(weight.ndim > 1 and weight.is_floating_point() for weight in inner.parameters(recurse=False))
    ]
    hooks = [inner.register_forward_pre_hook(remember, with_kwargs=True) for inner in weighted]
    try:
        yield entered
    finally:
        for hook in hooks:
            hook.remove()


def _build(package: OpenedPackage, entry: EntryPoint) -> torch.nn.Module:
    factory = package.attribute(entry)
    with package.running(f"{entry} cannot build the model"):
        module = factory(**package.manifest.arguments)
    if not isinstance(module, torch.nn.Module):
        raise _refused(f"{entry} returns {type(module).__name__}; it has to return a torch.nn.Module.")
    return module


def _fill(module: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Load weights by name; every one has its place, of the same shape and dtype, and every place gets one.

    A name that shares its tensor with a stored one may be missing: safetensors keeps shared weights once.
    """
    places = module.state_dict(keep_vars=True)
    strange = {name for name, place in places.items() if not isinstance(place, torch.Tensor)}
    if strange:
        raise _refused(f"The module keeps something in {min(strange)!r} that is no tensor.")
    filled = {id(places[name]) for name in weights if name in places}
    missing = sorted(name for name, place in places.items() if name not in weights and id(place) not in filled)
    unexpected = sorted(set(weights) - set(places))
    sentences = [
        *(f"The module has {name!r}, which the weights do not have." for name in missing[:3]),
        *(f"The weights have {name!r}, which the module does not have." for name in unexpected[:3]),
    ]
    for name in sorted(set(weights) & set(places)):
        ours, theirs = places[name], weights[name]
        if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
            sentences.append(f"{name!r} is {_told(ours)} in the module and {_told(theirs)} in the weights.")
    if sentences:
        raise _refused(" ".join(sentences[:6]))
    with torch.no_grad():
        for name, tensor in weights.items():
            places[name].copy_(tensor)


def _told(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _compare(tensor: torch.Tensor, spec: OutputSpec) -> None:
    shape = [-1, *tensor.shape[1:]] if tensor.ndim and tensor.shape[0] == _TRIED_ROWS else list(tensor.shape)
    dtype = str(tensor.dtype).removeprefix("torch.")
    if shape != list(spec.shape) or dtype != spec.dtype:
        raise _refused(
            f"The module gives {dtype} of shape {shape} for {spec.name!r}; the signature states {spec.dtype} of shape "
            f"{list(spec.shape)}."
        )


def _tensors_in(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _tensors_in(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _tensors_in(entry)


def _first(value: Any) -> torch.Tensor:
    return value if isinstance(value, torch.Tensor) else next(_tensors_in(value))


def _refused(detail: str) -> JobError:
    return JobError("model_does_not_load", detail, place="package")
