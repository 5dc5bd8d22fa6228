"""The folder of ``tf.saved_model.save`` and ``model.export`` in an archive: what is in it, and how it is written anew.

The rewritten copy has the functions that the object graph reaches, and no more: not the nodes of the graph around them,
not its signatures for other loaders, and not the functions that write and read checkpoints, which every export has. The
loader (``tf.saved_model.load``) restores variables by itself and needs none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workers.artifacts.canonical import CanonicalArchive
from workers.artifacts.findings import Finding, finding, refusal, shown
from workers.artifacts.saved_model import checkpoint
from workers.artifacts.saved_model.checkpoint import Checkpoint, read_checkpoint
from workers.artifacts.saved_model.functions import (
    PLACE,
    Library,
    check_asset_reads,
    check_reached,
    read_library,
)
from workers.artifacts.saved_model.objects import ObjectGraph, read_objects
from workers.artifacts.saved_model.tensors import TensorCheck
from workers.artifacts.saved_model.wire import Message, encode, parse
from workers.artifacts.source import Container, Source

_GRAPH = "saved_model.pb"
_MAX_GRAPH_BYTES = 256 * 1024**2

#: Says what the other files are; the loader does without it, and a rewritten copy has other files.
_FINGERPRINT = "fingerprint.pb"
#: What is left out of the rewritten copy: layers for Keras 2's own loader, where nodes come from, requests to warm up.
_LEFT_OUT = ("keras_metadata.pb", "debug/saved_model_debug_info.pb")
_LEFT_OUT_FOLDERS = ("assets.extra/", "assets/")


@dataclass(frozen=True)
class SavedModel:
    """A SavedModel that was read; nothing of it was loaded.

    Attributes:
        asset_names: the files that the graph reads, by their names in ``assets/``.
        reached: names of the functions that loading and calling the model can run.
    """

    graph: Message
    library: Library
    objects: ObjectGraph
    reached: frozenset[str]
    checkpoint: Checkpoint | None
    asset_names: tuple[str, ...]
    root: str
    findings: tuple[Finding, ...]
    format: str = "saved_model"
    framework: str = "keras"

    def write(self, source: Source, target: Path) -> None:
        """Write the canonical copy; only the bytes of tensors and of vocabularies are copied from the upload."""
        archive = source.entries
        with CanonicalArchive(target) as out:
            out.add(_GRAPH, encode("SavedModel", self._document()))
            copied = [f"assets/{name}" for name in self.asset_names]
            if self.checkpoint is not None:
                out.add(checkpoint.INDEX, self.checkpoint.index)
                copied = [*self.checkpoint.shards, *copied]
            for name in copied:
                entry = self.root + name
                out.add_stream(name, archive.entries[entry].size_bytes, archive.chunks(entry))

    def _document(self) -> Message:
        graph = self.graph["graph_def"]
        information = self.graph.get("meta_info_def", {})
        kept = ("tags", "tensorflow_version", "tensorflow_git_version", "stripped_default_attrs")
        rewritten: Message = {
            "meta_info_def": {key: information[key] for key in kept if key in information},
            "graph_def": {
                "node": [node for node in graph.get("node", ()) if node["name"] in self.objects.constants],
                "library": self.library.written(self.reached),
                "versions": graph.get("versions", {}),
            },
            "asset_file_def": self.graph.get("asset_file_def", []),
            "object_graph_def": self.graph["object_graph_def"],
        }
        return {"saved_model_schema_version": 1, "meta_graphs": [rewritten]}


def read_saved_model(source: Source) -> SavedModel:
    """Read every entry of a SavedModel.

    Raises:
        RefusalError: at the first entry, message, node or tensor that does not follow the format or reaches outside.
    """
    archive = source.entries
    root = _root_of(archive)
    inner = {name.removeprefix(root): name for name in archive.entries}
    document = parse(archive.read(root + _GRAPH, _MAX_GRAPH_BYTES), "SavedModel", PLACE)
    graph = _meta_graph(document)
    assets = _asset_names(graph, inner)
    findings = _check_entries(inner, assets)
    tensors = TensorCheck()
    library = read_library(graph.get("graph_def", {}), tensors)
    for name, signature in graph.get("signature_def", {}).items():
        for tensor in signature.get("defaults", {}).values():
            tensors.check(tensor, f"{PLACE}: signature {name}")
    nodes = graph["graph_def"].get("node", ())
    objects = read_objects(graph["object_graph_def"], library, nodes, len(assets), tensors)
    reached = library.reached_from((*objects.functions, *library.gradients.values()))
    check_reached(library, reached)
    check_asset_reads(library, reached, objects.assets_of)
    stored = read_checkpoint(archive, inner, source.limits) if checkpoint.INDEX in inner else None
    detail = (
        f"Each of the {len(reached):,} functions that the model reaches was read, and its operators only compute. A "
        "graph is a program all the same: it is evaluated and audited in the sandbox and cannot be retrained."
    )
    return SavedModel(
        graph,
        library,
        objects,
        reached,
        stored,
        assets,
        root,
        (finding("ART-03.saved_model", detail, _GRAPH), *findings),
    )


def _root_of(archive: Container) -> str:
    """Return the folder that all entries lie in, with its slash; empty where there is none."""
    if _GRAPH in archive.entries:
        return ""
    root = next(iter(archive.entries)).partition("/")[0] + "/"
    if not all(name.startswith(root) for name in archive.entries):
        raise refusal("ART-02.unknown_entry", f"All entries lie in one folder, {shown(root)}; some do not.")
    if root + _GRAPH not in archive.entries:
        detail = f"A SavedModel has an entry {_GRAPH!r} in its folder; one as text (.pbtxt) is not taken."
        raise refusal("ART-02.missing_entry", detail, root)
    return root


def _meta_graph(document: Message) -> Message:
    graphs: list[Message] = document.get("meta_graphs", [])
    if document.get("saved_model_schema_version") != 1 or len(graphs) != 1:
        raise refusal("ART-02.graph", f"A SavedModel has one graph; this one has {len(graphs)}.", PLACE)
    if "object_graph_def" not in graphs[0] or "graph_def" not in graphs[0]:
        detail = (
            "The file has no object graph: it comes from TensorFlow 1. Load it with TensorFlow 2 and save it again."
        )
        raise refusal("ART-02.graph", detail, PLACE)
    return graphs[0]


def _asset_names(graph: Message, inner: Mapping[str, str]) -> tuple[str, ...]:
    names = tuple(entry.get("filename", "") for entry in graph.get("asset_file_def", ()))
    for name in names:
        if f"assets/{name}" not in inner:
            detail = f"The graph reads the asset {shown(name)}; the archive has no such file in assets/."
            raise refusal("ART-02.missing_entry", detail, f"{PLACE}: assets")
    return tuple(dict.fromkeys(names))


def _check_entries(inner: Mapping[str, str], assets: tuple[str, ...]) -> list[Finding]:
    known = {_GRAPH, _FINGERPRINT, *(f"assets/{name}" for name in assets)}
    findings = []
    for name in inner:
        if name in known or checkpoint.is_part(name):
            continue
        if name not in _LEFT_OUT and not name.startswith(_LEFT_OUT_FOLDERS):
            raise refusal("ART-02.unknown_entry", f"The entry {shown(name)} does not belong into a SavedModel.", name)
        findings.append(finding("ART-03.extra_files", "The file is left out of the rewritten copy.", name))
    if any(checkpoint.is_part(name) for name in inner) and checkpoint.INDEX not in inner:
        raise refusal("ART-02.missing_entry", f"A checkpoint has an entry {checkpoint.INDEX!r}.", checkpoint.INDEX)
    return findings[:50]
