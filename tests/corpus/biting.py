"""``python -m tests.corpus.biting FRAMEWORK < requests.json``: loads files as they come, and says which bit.

A child process imports one framework, enters the sandbox of jobs and forks for each file, so that a payload can reach
nothing but the folder of the corpus. Reads a JSON list of ``{id, path, loader}``, prints ``{id: what happened}``:
empty for a file that bit, and else what the loader said.

A file bites in one of the ways of ``trusting.loader.Harm``. What exhausts a loader does so within ``MEMORY_BYTES``
more than the process had before and ``SECONDS`` of its time: a harmless file of the same kind needs less than a
quarter of that memory, which ``test_teeth`` shows.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.corpus.trusting import LOADERS
from tests.corpus.trusting.loader import Framework, Loader, disagree, touch
from workers import sandbox
from workers.protocol import Limits

#: What a loader says of a file that did no harm.
NOTHING = "it loaded, and nothing happened"
#: Of a loader that is to be exhausted; TensorFlow's own threads and constants need more than torch's.
MEMORY_BYTES: Mapping[Framework, int] = {"torch": 48 * 1024**2, "tensorflow": 1024**3}
SECONDS = 1
_EXHAUSTED = "exhausted"
#: A process that ends by one of these used up its time or its stack, or was ended by the file.
_FATAL = (signal.SIGXCPU, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGKILL)
#: What libraries in C++ say where Python would raise ``MemoryError`` or ``RecursionError``.
_TELLS = ("can't allocate memory", "bad_alloc", "ResourceExhausted", "Unable to allocate", "recursion", "OOM when")
_PATIENCE_SECONDS = 60
_GRACE_SECONDS = 2.0
_AT_A_TIME = 2
_CEILING_BYTES = 4 * 1024**3
_ROOT = Path(__file__).parents[2]
_IMPORTED: Mapping[str, tuple[str, ...]] = {
    "torch": ("torch", "h5py", "numpy", "sympy"),
    "tensorflow": ("tensorflow", "keras"),
}


def bites(
    framework: Framework, paths: Mapping[str, Path], loaders: Mapping[str, str], *, narrower: int = 1
) -> dict[str, str]:
    """Load files unsafely in a child; return what was said where nothing happened, and nothing where a file bit.

    Args:
        narrower: divides the memory of loaders that are to be exhausted.
    """
    requests = [
        {"id": name, "path": str(path), "loader": loaders[name], "narrower": narrower} for name, path in paths.items()
    ]
    child = subprocess.run(
        [sys.executable, "-m", "tests.corpus.biting", framework],
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        cwd=_ROOT,
        env=os.environ | {"PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )
    assert child.returncode == 0, child.stderr[-3000:]
    return json.loads(child.stdout)  # type: ignore[no-any-return]


def _start(request: Mapping[str, Any]) -> int:
    """Fork and load in the child, whose number is returned."""
    child = os.fork()
    if child == 0:
        path = Path(request["path"])
        _in_the_child(path, LOADERS[request["loader"]], path.parent / "said", request["narrower"])
    return child


def _said(request: Mapping[str, Any], status: int) -> str:
    """Return what a child left that has ended."""
    said = Path(request["path"]).parent / "said"
    if os.WIFSIGNALED(status):
        ended_by = signal.Signals(os.WTERMSIG(status))
        exhausted = LOADERS[request["loader"]].harm == "exhausts" and ended_by in _FATAL
        return _EXHAUSTED if exhausted else f"it ended by {ended_by.name}"
    return said.read_text() if said.exists() else NOTHING


def _load_all(requests: list[dict[str, Any]]) -> dict[str, str]:
    """Load all files, two at a time, and return what was said of each."""
    running: dict[int, dict[str, Any]] = {}
    said = {}
    for request in [*requests, None]:
        while running and (request is None or len(running) == _AT_A_TIME):
            child, status = os.wait()
            if child in running:
                ended = running.pop(child)
                said[ended["id"]] = _said(ended, status)
        if request is not None:
            running[_start(request)] = request
    return said


def _in_the_child(path: Path, loader: Loader, said: Path, narrower: int) -> None:
    """Load the file and end, whatever comes of it."""
    try:
        os.chdir(path.parent)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        warnings.simplefilter("ignore")
        _limit(loader, narrower)
        answer = loader.load(path)
        if loader.harm == "disagrees" and disagree(answer):
            touch(path)
    except BaseException as error:  # noqa: BLE001 - a payload may raise anything
        said.write_text(_EXHAUSTED if loader.harm == "exhausts" and _is_exhaustion(error) else _told(error))
    finally:
        os._exit(0)


def _limit(loader: Loader, narrower: int) -> None:
    """Set the time of every loader, and the narrow limits of those that are to be exhausted."""
    signal.alarm(_PATIENCE_SECONDS)
    if loader.harm != "exhausts":
        return
    memory = _data_bytes() + MEMORY_BYTES[loader.framework] // narrower
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    used = SECONDS * (1 if loader.framework == "torch" else 10)
    resource.setrlimit(resource.RLIMIT_CPU, (used, used + 1))


def _data_bytes() -> int:
    """Return what ``RLIMIT_DATA`` counts of this process so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("This kernel does not tell the memory of a process.")


def _is_exhaustion(error: BaseException) -> bool:
    return isinstance(error, MemoryError | RecursionError) or any(tell in _told(error) for tell in _TELLS)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[-700:]}"


def _marker_is_there(folder: Path) -> bool:
    """Tell whether the marker was made; some gadgets put an ending behind the name that they are given."""
    return any(folder.glob("marker*"))


def _outcomes(requests: list[dict[str, Any]]) -> dict[str, str]:
    """Load all files, and wait for processes that payloads started: they may be slower than the loader."""
    said = _load_all(requests)
    waiting = {request["id"]: Path(request["path"]).parent for request in requests if said[request["id"]] != _EXHAUSTED}
    ends = time.monotonic() + _GRACE_SECONDS
    while waiting and time.monotonic() < ends:
        waiting = {name: folder for name, folder in waiting.items() if not _marker_is_there(folder)}
        time.sleep(0.02)
    return {name: said[name] if name in waiting else "" for name in said}


def main() -> int:
    framework = sys.argv[1]
    requests = json.load(sys.stdin)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in _IMPORTED[framework]:
        importlib.import_module(name)
    folder = Path(os.path.commonpath([request["path"] for request in requests]))
    folder = folder if folder.is_dir() else folder.parent
    packages = [_ROOT, *map(Path, sys.path)]
    # As for a GPU's job, which may start programs of the system: without them, many a payload could not bite.
    layers = sandbox.enter(folder=folder, limits=Limits(), packages=packages, uses_gpu=True, parent_pid=None)
    sandbox.require(layers)
    resource.setrlimit(resource.RLIMIT_DATA, (_CEILING_BYTES, _CEILING_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_PATIENCE_SECONDS, _PATIENCE_SECONDS + 5))
    print(json.dumps(_outcomes(requests)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
