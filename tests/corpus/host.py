"""What a host has installed beside torch, and what a hostile file reaches through it: a compiled class that writes."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

from tests.corpus.case import Workshop

#: The compiled library, in the folder of samples and beside an upload that needs it.
CLASSES = "host_classes.so"
_SOURCE = Path(__file__).with_name("host_classes.cpp")


def compile_classes(folder: Path) -> Path:
    """Compile the library with the headers that come with torch, and return its path; it takes about five seconds.

    Raises:
        RuntimeError: there is no compiler.
    """
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise RuntimeError("The corpus needs a C++ compiler: install g++, with which it makes a library of the host.")
    torch = importlib.util.find_spec("torch")
    assert torch is not None
    assert torch.origin is not None
    root, path = Path(torch.origin).parent, folder / CLASSES
    options = ["-std=c++20", "-O0", "-s", "-shared", "-fPIC", f"-I{root / 'include'}", f"-L{root / 'lib'}"]
    subprocess.run([compiler, *options, str(_SOURCE), "-o", str(path), "-lc10", "-ltorch_cpu"], check=True)
    return path


def lay_classes_beside(shop: Workshop) -> None:
    """Put the library where the loader of an upload finds what its host has installed."""
    shutil.copyfile(shop.samples / CLASSES, shop.folder / CLASSES)
