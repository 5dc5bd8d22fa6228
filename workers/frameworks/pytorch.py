"""PyTorch: models of ``torch.export``, loaded from a rewritten ``.pt2``, run, trained and saved again."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import fx

from workers.frameworks.base import Framework
from workers.frameworks.coalitions import Game, Scale
from workers.frameworks.paths import Paths, RescaledContributions
from workers.frameworks.pytorch_coalitions import Score
from workers.frameworks.pytorch_deeplift import rescaled_contributions
from workers.frameworks.pytorch_entrances import Entrance, behind_embeddings, differentiable_recurrence, ends_at
from workers.frameworks.pytorch_first_layer import FirstLayer, split_at_first_layer
from workers.frameworks.pytorch_fused import with_fused_layers
from workers.frameworks.pytorch_graph import (
    Answer,
    describe,
    in_channels_last,
    last_activation,
    variant,
    with_bound_weights,
)
from workers.frameworks.pytorch_model import Run, TrainableModel
from workers.frameworks.pytorch_paths import Scores
from workers.frameworks.pytorch_reentrance import is_reentrant
from workers.frameworks.pytorch_running import environment, flat, prepare
from workers.frameworks.rescaling import scores_not_found
from workers.frameworks.rows import demand_signature
from workers.frameworks.widths import gradient_rows
from workers.protocol import JobError
from workers.signature import OutputKind, OutputSpec, Signature, TensorSpec


class PyTorchModel(TrainableModel):
    """An exported program. Variants of its graph share one set of weights."""

    def __init__(self, program: torch.export.ExportedProgram, *, signature: Signature, device: str) -> None:
        self._program = program
        placed = program if device == "cpu" else _moved(program, device)
        self._module: fx.GraphModule = placed.module(check_guards=False)
        self._variants: dict[tuple[bool, Answer], fx.GraphModule] = {}
        self._fused: dict[Answer, tuple[fx.GraphModule, Run]] = {}
        self._entered_module: tuple[fx.GraphModule, list[Entrance]] | None = None
        finds_logits = last_activation(self._module.graph) is not None
        super().__init__(signature=signature, device=device, holder=self._module, finds_logits=finds_logits)

    def save(self, path: Path) -> None:
        """Write a ``.pt2``; the same weights give the same bytes, whatever the file is called."""
        tensors = self._tensors()
        with torch.no_grad():
            for name, kept in self._program.state_dict.items():
                kept.copy_(tensors[name])
        buffer = io.BytesIO()
        torch.export.save(self._program, buffer)
        path.write_bytes(buffer.getvalue())

    def layers(self) -> list[dict[str, Any]]:
        return describe(self._module)

    @cached_property
    def is_reentrant(self) -> bool:
        return self.device == "cpu" and is_reentrant(self._inference_on("logits").graph)

    def _run(self, *, training: bool, answer: Answer) -> Run:
        key = (training, answer)
        if key not in self._variants:
            self._variants[key] = variant(self._module, training=training, answer=answer)
        return self._variants[key].forward

    def _score_on(self, scale: Scale) -> Score:
        if self.device != "cpu":
            return super()._score_on(scale)
        module, run = self._fused_on(scale)
        laid_out = in_channels_last(module)
        if laid_out is not None and self._agree(module, laid_out):
            run = laid_out.forward
        return lambda tensors: self._on_scale(run(*tensors), scale)

    def _fused_on(self, scale: Scale) -> tuple[fx.GraphModule, Run]:
        """Return what gives scores most quickly, as a module and as a function with the same weights."""
        answer = self._scoring_answer(scale)
        if answer not in self._fused:
            plain = self._inference_on(scale)
            module = with_fused_layers(plain) or plain
            self._fused[answer] = module, with_bound_weights(module)
        return self._fused[answer]

    def _first_layer_of(self, game: Game) -> FirstLayer | None:
        # On an accelerator a wide product is cheaper than the calls that many small ones take.
        found = split_at_first_layer(self._inference_on(game.scale)) if self.device == "cpu" else None
        if found is None:
            return None
        weight, bias, rest = found
        fused = with_fused_layers(rest) or rest
        return FirstLayer(weight, bias, lambda given: self._on_scale(fused(given), game.scale))

    def _scoring_answer(self, scale: Scale) -> Answer:
        return "output" if self._is_exact or scale == "probabilities" else "logits"

    def _inference_on(self, scale: Scale) -> fx.GraphModule:
        answer = self._scoring_answer(scale)
        self._run(training=False, answer=answer)
        return self._variants[False, answer]

    def _on_scale(self, answer: torch.Tensor, scale: Scale) -> torch.Tensor:
        return self._shares(flat(answer)) if scale == "probabilities" else self._as_scores(answer)

    def _agree(self, plain: fx.GraphModule, other: fx.GraphModule) -> bool:
        """Tell whether two modules give rows of ones the same; a graph may demand the layout it was exported in."""
        ones = [
            torch.ones(2, *spec.row_shape, dtype=getattr(torch, spec.dtype), device=self.device)
            for spec in self.signature.inputs
        ]
        with torch.no_grad():
            try:
                answer = other(*ones)
            except RuntimeError:  # `view` of a tensor whose channels lie last
                return False
            return torch.allclose(plain(*ones), answer, rtol=1e-3, atol=1e-4)

    def rescaled_contributions(self, paths: Paths) -> RescaledContributions:
        if not (self._is_exact or self._finds_logits):
            raise scores_not_found(self.signature)
        module, _ = self._behind_embeddings()
        entrances, scores = self._entered()
        ends = ends_at(entrances, paths, self.signature, self.device)
        return rescaled_contributions(module, scores, paths, ends, flat, pairs=gradient_rows(self))

    def _entered(self) -> tuple[list[Entrance], Scores]:
        module, entrances = self._behind_embeddings()

        def scores(leaves: list[torch.Tensor]) -> torch.Tensor:
            with differentiable_recurrence(module.graph):
                return self._as_scores(module(*leaves))

        return entrances, scores

    def _behind_embeddings(self) -> tuple[fx.GraphModule, list[Entrance]]:
        if self._entered_module is None:
            answer: Answer = "output" if self._is_exact else "logits"
            plain = variant(self._module, training=False, answer=answer)
            self._entered_module = behind_embeddings(plain, self.signature)
        return self._entered_module

    def _tensors(self) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = dict(self._module.named_parameters(remove_duplicate=False))
        found.update(self._module.named_buffers(remove_duplicate=False))
        return {name: found[name].detach() for name in self._program.state_dict}


class PyTorchFramework(Framework):
    """PyTorch through ``torch.export``."""

    name: ClassVar[str] = "pytorch"
    formats: ClassVar[tuple[str, ...]] = ("pt2",)

    def load(self, path: Path, *, signature: Signature | None, device: str, seed: int) -> PyTorchModel:
        prepare(device, seed)
        try:
            program = torch.export.load(path)
        except Exception as error:
            # torch raises whatever its reader meets; all of it means the same to the person who uploaded the file.
            reason = f"PyTorch does not load {path.name}: {type(error).__name__}: {error}"
            raise JobError("model_does_not_load", reason, place=path.name) from error
        found = read_signature(program)
        if signature is not None:
            demand_signature(found, signature, place=path.name)
        return PyTorchModel(program, signature=signature or found, device=device)

    def environment(self) -> dict[str, Any]:
        return environment()


def read_signature(program: torch.export.ExportedProgram) -> Signature:
    """Read names, shapes and dtypes from the graph; the kind of the first output is guessed from its last operator.

    Raises:
        JobError: ``model_does_not_load``, when an input is not a tensor, the batch is fixed, or another size is not.
    """
    nodes = {node.name: node for node in program.graph.nodes}
    inputs = tuple(
        TensorSpec(name, *_shape_and_dtype(nodes, name, "input")) for name in program.graph_signature.user_inputs
    )
    outputs = []
    for index, name in enumerate(program.graph_signature.user_outputs):
        shape, dtype = _shape_and_dtype(nodes, name, "output")
        kind: OutputKind = "embedding"
        if index == 0:
            activation = last_activation(program.graph)
            width = int(np.prod(shape[1:], dtype=int))
            kind = "probabilities" if activation is not None else "logits" if width > 1 else "value"
        outputs.append(OutputSpec(str(name), shape, dtype, kind))
    if not inputs or not outputs:
        raise JobError("model_does_not_load", "The exported program has no tensor input or no tensor output.")
    return Signature(inputs=inputs, outputs=tuple(outputs))


def _shape_and_dtype(nodes: Mapping[str, fx.Node], name: Any, side: str) -> tuple[tuple[int, ...], str]:
    value = nodes[name].meta.get("val") if name in nodes else None
    if not isinstance(value, torch.Tensor) or not value.ndim:
        raise JobError("model_does_not_load", f"The {side} {name!r} is not a tensor of rows.", place=str(name))
    batch, *sizes = value.shape
    if isinstance(batch, int):
        raise JobError(
            "model_does_not_load",
            f"The {side} {name!r} has a fixed batch of {batch}; export the model with a dynamic first dimension.",
            place=str(name),
        )
    for size in sizes:
        if not isinstance(size, int):
            raise JobError(
                "model_does_not_load",
                f"The {side} {name!r} has the shape {list(value.shape)}; only the first size, the batch, may be open.",
                place=str(name),
            )
    return (-1, *sizes), str(value.dtype).removeprefix("torch.")


def _moved(program: torch.export.ExportedProgram, device: str) -> torch.export.ExportedProgram:
    """Return a copy of a program on another device; the original stays on the CPU, to be saved from there."""
    from torch.export.passes import move_to_device_pass

    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    buffer.seek(0)
    return move_to_device_pass(torch.export.load(buffer), device)
