"""HDF5 files of Keras: a legacy model (``model.save("x.h5")``), or weights alone (``model.save_weights``)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.artifacts import strict_json
from workers.artifacts.findings import Finding, refusal, shown
from workers.artifacts.hdf5.datatypes import RAW_2
from workers.artifacts.hdf5.tree import Array, Group, Tree, read_tree
from workers.artifacts.hdf5.weights import check_attributes, refused
from workers.artifacts.hdf5.writing import write_members
from workers.artifacts.keras.assets import expected_files
from workers.artifacts.keras.config import check_config, check_training_config
from workers.artifacts.keras.legacy import modernised
from workers.artifacts.keras.legacy_weights import LegacyWeights, read_layers, read_optimizer
from workers.artifacts.limits import Limits
from workers.artifacts.source import Content, Source
from workers.artifacts.weights.safetensors import Weights
from workers.artifacts.weights.tensors import Block, StoredTensor, TensorNames

_CONFIG, _TRAINING, _VERSION, _BACKEND = "model_config", "training_config", "keras_version", "backend"
_ATTRIBUTES = frozenset({_CONFIG, _TRAINING, _VERSION, _BACKEND})
_WEIGHTS, _OPTIMIZER = "/model_weights", "/optimizer_weights"


@dataclass(frozen=True)
class LegacyModel:
    """A legacy HDF5 model that was read; nothing of it was loaded."""

    version: str
    config: dict[str, Any]
    weights: LegacyWeights
    findings: tuple[Finding, ...]
    format: str = "h5"
    framework: str = "keras"

    def write(self, source: Source, target: Path) -> None:
        """Write the canonical model: config and weights, without compile settings and the state of an optimizer."""
        settings = {
            _CONFIG: json.dumps(self.config, allow_nan=False).encode(),
            _VERSION: self.version.encode(),
            _BACKEND: b"tensorflow",
        }
        members = [Group("", {}), *self.weights.members]
        write_members(source.stream, members, target, {"": settings, **self.weights.attributes})


def read_h5(source: Source) -> Content:
    """Read an HDF5 file of Keras to its end; which of the two it is, its attributes say.

    Raises:
        RefusalError: anything but the groups, arrays and attributes that Keras writes, with its path.
    """
    tree = read_tree(source.stream, "", source.limits)
    root = tree.groups[""]
    if _CONFIG in root.attributes:
        return _read_model(tree, root)
    if any(name.startswith("layer_names") for name in root.attributes):
        # Keras 2 kept weights alone as it keeps those of a model.
        read_layers(tree, "")
    else:
        check_attributes(tree, "")
    return _weights(tree, source.limits)


def _weights(tree: Tree, limits: Limits) -> Weights:
    """Return the arrays as tensors under their paths."""
    if not tree.arrays:
        raise refusal("ART-02.missing_entry", "The file holds no array.", "/")
    names = TensorNames(limits, sum(array.size_bytes for array in tree.arrays.values()))
    for path, array in tree.arrays.items():
        dtype = "bfloat16" if array.datatype.name == RAW_2 else array.datatype.name
        names.add(path.removeprefix("/"), StoredTensor(dtype, array.shape, Block(array.size_bytes, array.offset)))
    return Weights(names.tensors, (), "weights_h5", "keras")


def _read_model(tree: Tree, root: Group) -> LegacyModel:
    unknown = root.attributes.keys() - _ATTRIBUTES
    if unknown:
        raise refused(f"The attribute {shown(min(unknown))} is not one that Keras writes there.", "", root)
    for member in tree.members:
        if member.path.count("/") == 1 and (isinstance(member, Array) or member.path not in (_WEIGHTS, _OPTIMIZER)):
            raise refused("The member does not belong into a legacy Keras model.", "", member)
    if _WEIGHTS not in tree.groups:
        raise refusal("ART-02.missing_entry", f"A legacy Keras model has a group {_WEIGHTS!r}.", "/")
    config = modernised(_settings(root, _CONFIG))
    findings = check_config(config, place=_CONFIG, is_legacy=True)
    if _TRAINING in root.attributes:
        findings += check_training_config(_settings(root, _TRAINING), _TRAINING)
    for class_name in expected_files(config).values():
        detail = f"An HDF5 model does not hold the vocabulary of its {class_name} layer; save it as a .keras file."
        raise refusal("ART-02.missing_entry", detail, _CONFIG)
    weights = read_layers(tree, _WEIGHTS)
    if _OPTIMIZER in tree.groups:
        read_optimizer(tree, _OPTIMIZER)
    return LegacyModel(_version(root), config, weights, findings)


def _version(root: Group) -> str:
    version = _text(root, _VERSION).decode("utf-8", "replace")
    if not re.fullmatch(r"[23]\.[0-9]{1,3}\.[0-9A-Za-z.-]{1,20}", version):
        detail = f"The file was written by Keras {shown(version)}; Keras 2 and 3 are taken."
        raise refusal("ART-02.schema", detail, f"/@{_VERSION}")
    return version


def _settings(root: Group, name: str) -> Any:
    return strict_json.parse(_text(root, name), f"/@{name}")


def _text(root: Group, name: str) -> bytes:
    attribute = root.attributes.get(name)
    if attribute is None or attribute.shape or len(attribute.texts) != 1:
        raise refused(f"The attribute {name!r} is not one text.", "", root)
    return attribute.texts[0]
