"""A released model package, opened: its sources imported under a private name, its payload beside them, to be written.

What is imported here is an uploader's code. It runs in the sandboxed child of a job and nowhere else: the child enters
the sandbox before it imports a framework, and each framework's adapter for packages imports its framework first.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import shutil
import sys
import tempfile
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from workers.artifacts.archive import Archive
from workers.artifacts.limits import Limits
from workers.artifacts.package import manifest as assay_toml
from workers.artifacts.package.archive import write_package
from workers.artifacts.package.manifest import Manifest
from workers.entry_point import EntryPoint
from workers.protocol import JobError, Json
from workers.signature import Signature

_NAME = "assay_package"

#: The inspection has held the package to the installation's limits; here it is only unpacked.
_ANY_SIZE = Limits(entries=2**31, total_bytes=2**62, name_bytes=2**16)


class OpenedPackage:
    """A package in a folder of its own, which goes when the package goes.

    Attributes:
        manifest: what ``assay.toml`` says.
    """

    def __init__(self, manifest: Manifest, folder: Path, sources: Mapping[str, bytes]) -> None:
        self.manifest = manifest
        self._folder = folder
        self._sources = sources
        self._name = _register(folder)
        self._close = weakref.finalize(self, _remove, self._name, folder)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Unpack a rewritten package; nothing of it runs yet."""
        folder = Path(tempfile.mkdtemp(prefix="package-"))
        sources = {}
        with path.open("rb") as stream:
            archive = Archive(stream, _ANY_SIZE)
            for name in archive.entries:
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as out:
                    out.writelines(archive.chunks(name))
                if name.endswith(".py"):
                    sources[name] = target.read_bytes()
        return cls(Manifest.read((folder / assay_toml.NAME).read_bytes()), folder, sources)

    @property
    def payload(self) -> Path:
        """The unpacked weights or ``.keras``."""
        return self._folder / self.manifest.payload

    @property
    def filenames(self) -> frozenset[str]:
        """The names of all sources."""
        return frozenset(self._sources)

    def source(self, filename: str) -> bytes:
        """Return the text of a source."""
        return self._sources[filename]

    def module(self, filename: str) -> ModuleType:
        """Import one source.

        Raises:
            JobError: ``model_does_not_load``, with the line at which it breaks.
        """
        name = filename.removesuffix(".py").replace("/", ".")
        with self.running(f"{filename} cannot be imported"):
            return importlib.import_module(f"{self._name}.{name}")

    def attribute(self, entry: EntryPoint) -> Any:
        """Return what ``module:name`` stands for."""
        module = self.module(entry.filename)
        try:
            return getattr(module, entry.name)
        except AttributeError:
            raise JobError("model_does_not_load", f"There is no {entry} in the package.", place=str(entry)) from None

    def loss(self, entry: EntryPoint) -> Callable[[Any, Any], Any]:
        """Return a loss of the package: a function, or an object of a class that can be called."""
        found = self.attribute(entry)
        with self.running(f"The loss {entry} cannot be made"):
            function = found() if isinstance(found, type) else found

        def loss(first: Any, second: Any) -> Any:
            with self.running(f"The loss {entry} breaks", code="recipe_does_not_fit"):
                return function(first, second)

        return loss

    def write(self, path: Path, payload: Path, *, signature: Signature, recipe: Mapping[str, Json] | None) -> None:
        """Write a package with the same sources and another payload, and say how that was trained."""
        manifest = replace(self.manifest, signature=signature, recipe=recipe or self.manifest.recipe)
        write_package(path, manifest, self._sources, payload)

    @contextmanager
    def running(self, what: str, code: str = "model_does_not_load") -> Iterator[None]:
        """Run the package's code; what it raises becomes an error of the job that names its line.

        Compiled copies are not left behind, and the working directory is put back.
        """
        writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            with contextlib.chdir(Path.cwd()):
                yield
        except (JobError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            place = self._place(error)
            detail = f"{what}: {type(error).__name__}: {error}".rstrip(": ")
            raise JobError(code, f"{detail}{f' ({place})' if place else ''}.", place=place) from error
        finally:
            sys.dont_write_bytecode = writes_bytecode

    def _place(self, error: BaseException) -> str:
        """Return the last line of the package's own code that an error went through."""
        places = [
            f"{Path(frame.filename).relative_to(self._folder)}, line {frame.lineno}"
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename).is_relative_to(self._folder)
        ]
        return places[-1] if places else ""


def _register(folder: Path) -> str:
    """Make a folder a package of its own, under a name that no other module has; the module path stays as it is."""
    names = itertools.chain([_NAME], (f"{_NAME}_{number}" for number in itertools.count(2)))
    name = next(name for name in names if name not in sys.modules)
    module = ModuleType(name, "The sources of a model package.")
    module.__path__ = [str(folder)]
    sys.modules[name] = module
    return name


def _remove(name: str, folder: Path) -> None:
    for module in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
        del sys.modules[module]
    shutil.rmtree(folder, ignore_errors=True)
