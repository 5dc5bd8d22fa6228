"""The archive of a model package: every entry is named by ``assay.toml`` or is a source that its code imports."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from workers.artifacts import kinds, strict_toml
from workers.artifacts.archive import Archive
from workers.artifacts.canonical import CanonicalArchive
from workers.artifacts.findings import MAX_FINDINGS, Finding, RefusalError, finding, refusal, shown
from workers.artifacts.formats import FORMATS, promised_by
from workers.artifacts.keras import names as keras_names
from workers.artifacts.keras.archive import read_keras
from workers.artifacts.package import manifest as assay_toml
from workers.artifacts.package.manifest import Manifest
from workers.artifacts.package.sources import ModuleSource, demand_defined, read_source
from workers.artifacts.source import Content, Reader, Source
from workers.artifacts.torch_checkpoint import read_state_dict
from workers.artifacts.weights.safetensors import read_safetensors
from workers.entry_point import EntryPoint

_CHUNK_BYTES = 1024 * 1024
#: What the weights of a PyTorch package may come in.
_WEIGHTS: Mapping[str, Reader] = {"safetensors": read_safetensors, "state_dict": read_state_dict}
_COMPILED = (".so", ".pyd", ".dll", ".dylib", ".pyc", ".pyo", ".o", ".a", ".exe")
_LONGEST_LIST = 20


@dataclass(frozen=True)
class Package:
    """A model package that was read; none of its code was run.

    Attributes:
        sources: the sources by name, in the order of their names.
        payload: the weights or the ``.keras``, as their own reader parsed them.
    """

    manifest: Manifest
    sources: Mapping[str, ModuleSource]
    payload: Content
    findings: tuple[Finding, ...]
    format: str = "package"

    @property
    def framework(self) -> str:
        return self.manifest.framework

    @property
    def source_digests(self) -> dict[str, str]:
        """What a reviewer releases: each source with its digest."""
        return {name: source.digest for name, source in self.sources.items()}

    def defines(self, name: EntryPoint) -> bool:
        """Tell whether a source defines a function or class at module level."""
        source = self.sources.get(name.filename)
        return source is not None and name.name in source.defined

    def write(self, source: Source, target: Path) -> None:
        """Write the canonical package: ``assay.toml`` and payload written anew, the sources byte for byte."""
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            rewritten = Path(folder, "payload")
            with open_payload(source, self.manifest.payload) as inner:
                self.payload.write(inner, rewritten)
            contents = {name: found.content for name, found in self.sources.items()}
            write_package(target, self.manifest.canonical(), contents, rewritten)


def write_package(target: Path, manifest: Manifest, sources: Mapping[str, bytes], payload: Path) -> None:
    """Write a package in its one form: the same manifest, sources and payload give the same bytes."""
    with CanonicalArchive(target) as out, payload.open("rb") as stream:
        out.add(assay_toml.NAME, manifest.to_toml())
        for name in sorted(sources):
            out.add(name, sources[name])
        pieces = iter(lambda: stream.read(_CHUNK_BYTES), b"")
        out.add_stream(manifest.payload, payload.stat().st_size, pieces)


def read_package(source: Source) -> Package:
    """Read every entry of a model package.

    Raises:
        RefusalError: an entry that nothing names, a source with two readings, a payload that its own format refuses.
    """
    container = source.entries
    manifest = Manifest.read(container.read(assay_toml.NAME, strict_toml.MAX_BYTES))
    sources = _read_sources(source)
    for name in (manifest.custom_objects, manifest.payload):
        if name and name not in container.entries:
            raise refusal("ART-02.missing_entry", f"{assay_toml.NAME} names {shown(name)}, which is not there.", name)
    for name in container.entries:
        if name not in sources and name not in (assay_toml.NAME, manifest.payload):
            raise _stranger(name)
    _check_code(manifest, sources)
    with open_payload(source, manifest.payload) as inner:
        payload = _read_payload(manifest, sources, inner)
    inside = (replace(entry, place=_inside(manifest.payload, entry.place)) for entry in payload.findings)
    findings = (*_findings(manifest, sources), *inside)[:MAX_FINDINGS]
    return Package(manifest, sources, payload, findings)


def custom_names(source: ModuleSource) -> dict[str, str]:
    """Return what a ``.keras`` may name beside Keras' own: the name that Keras writes -> the name in the source.

    A name that Keras has too is left out: which of the two would be meant depends on how it is looked up.
    """
    return {registered: name for registered, name in source.registered.items() if not keras_names.is_own(registered)}


def _read_sources(source: Source) -> dict[str, ModuleSource]:
    container = source.entries
    names = sorted(name for name in container.entries if name.endswith(".py"))
    total = sum(container.entries[name].size_bytes for name in names)
    if total > source.limits.source_bytes:
        detail = f"The sources have {total:,} bytes; the limit is {source.limits.source_bytes:,}."
        raise refusal("ART-02.too_large", detail, assay_toml.NAME)
    for name in names:
        parts = name.removesuffix(".py").split("/")
        if not all(part.isascii() and part.isidentifier() for part in parts) or parts == ["__init__"]:
            raise refusal("ART-02.entry_name", f"{shown(name)} is no name of a module of a package.", name)
        if name.removesuffix(".py") + "/__init__.py" in names:
            raise refusal("ART-02.duplicate_name", f"{shown(name)} and a folder are one module.", name)
    known = frozenset(names)
    return {name: read_source(name, container.read(name, source.limits.source_bytes), known) for name in names}


def _stranger(name: str) -> RefusalError:
    if name.lower().endswith(_COMPILED):
        detail = f"{shown(name)} is compiled code, which nobody can review; a package has Python sources."
        return refusal("ART-01.native_code", detail, name)
    detail = (
        f"The entry {shown(name)} does not belong into a package, which has assay.toml, Python sources, and the "
        "weights or the model that assay.toml names."
    )
    return refusal("ART-02.unknown_entry", detail, name)


def _check_code(manifest: Manifest, sources: Mapping[str, ModuleSource]) -> None:
    """Refuse names that nothing defines, and sources that nothing imports."""
    for key, entry in (("package.entry_point", manifest.entry_point), ("recipe.loss", manifest.own_loss)):
        if entry is not None:
            demand_defined(sources.get(entry.filename), entry.name, f"`{entry}`", f"{assay_toml.NAME}: {key}")
    roots = {manifest.code, *([manifest.own_loss.filename] if manifest.own_loss else [])}
    needed: set[str] = set()
    while roots:
        name = roots.pop()
        needed.add(name)
        roots |= sources[name].inner - needed
        # Importing a module runs what its folders say first.
        folders = name.split("/")[:-1]
        above = {"/".join([*folders[: depth + 1], "__init__.py"]) for depth in range(len(folders))}
        roots |= (above & set(sources)) - needed
    for name in sources:
        if name not in needed:
            detail = f"{shown(name)} is imported by no source of the package; leave it out."
            raise refusal("ART-02.unknown_entry", detail, name)


def _read_payload(manifest: Manifest, sources: Mapping[str, ModuleSource], inner: Source) -> Content:
    if manifest.framework == "keras":
        if inner.container is None:
            raise refusal("ART-02.not_a_model", "The entry is no .keras archive.", manifest.model)
        with _named(manifest.model):
            return read_keras(inner, custom=custom_names(sources[manifest.custom_objects]))
    head = kinds.read_head(inner.stream)
    kind = kinds.describe_archive(inner.container.entries) if inner.container else kinds.describe_content(head)
    promised = promised_by(manifest.weights)
    if kind not in _WEIGHTS or kind not in promised:
        detail = f"The entry is {_what(kind)}; its name promises {' or '.join(sorted(map(_what, promised)))}."
        raise refusal("ART-02.name_and_content", detail, manifest.weights)
    with _named(manifest.weights):
        return _WEIGHTS[kind](inner)


def _what(kind: str | None) -> str:
    return FORMATS[kind].title if kind in FORMATS else kind or "of no known format"


@contextmanager
def open_payload(source: Source, name: str) -> Iterator[Source]:
    """Unpack the weights or the ``.keras`` of a package and open them as an upload of their own."""
    with tempfile.TemporaryFile() as stream:
        for piece in source.entries.chunks(name):
            stream.write(piece)
        stream.seek(0)
        is_zip = stream.read(len(kinds.ZIP_MAGIC)) == kinds.ZIP_MAGIC
        with _named(name):
            archive = Archive(stream, source.limits) if is_zip else None
        yield Source(stream, source.limits, archive)


@contextmanager
def _named(entry: str) -> Iterator[None]:
    """Put the entry in front of the place of what is refused inside of it."""
    try:
        yield
    except RefusalError as error:
        raise RefusalError(replace(error.finding, place=_inside(entry, error.finding.place))) from None


def _inside(entry: str, place: str) -> str:
    return f"{entry}: {place}"[:400] if place else entry


def _findings(manifest: Manifest, sources: Mapping[str, ModuleSource]) -> Iterator[Finding]:
    told = [f"{name} ({source.line_count:,} lines, {source.digest[:19]}...)" for name, source in sources.items()]
    imports = {entry.module for source in sources.values() for entry in source.imports}
    calls = [f"{name}: {call}" for name, source in sources.items() for call in source.calls]
    yield finding(
        "ART-03.package",
        f"Loading it runs the Python code of {_listed(told)}. It imports {_listed(sorted(imports)) or 'nothing'}. "
        f"Calls to look at: {_listed(calls) or 'none'}. The list is for a reviewer and proves nothing: what holds the "
        "code is the sandbox.",
        manifest.code,
    )
    for source in sources.values():
        for entry in source.imports:
            if not entry.is_known:
                detail = f"The source imports {shown(entry.module)}, which is more than a model computes with."
                yield finding("ART-03.package_import", detail, entry.place)


def _listed(entries: list[str]) -> str:
    more = f" and {len(entries) - _LONGEST_LIST:,} more" if len(entries) > _LONGEST_LIST else ""
    return ", ".join(entries[:_LONGEST_LIST]) + more
