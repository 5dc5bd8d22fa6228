"""What a job ran in: the variables that its child gets, and what the child says about itself afterwards."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from workers.protocol import JobSpec, Json
from workers.sandbox import Card

#: A job's own folder for temporary files, inside its job folder.
TEMPORARY_FOLDER = "tmp"

#: Modules whose presence says that a library took part, and the package that gives it its version.
_PACKAGES = {
    "numpy": "numpy",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "tensorflow": "tensorflow",
    "keras": "keras",
    "shap": "shap",
    "great_expectations": "great-expectations",
}


def variables(*, temporary: Path, module_path: Sequence[Path], threads: int, cards: Sequence[str]) -> dict[str, str]:
    """Return the whole environment of a child: nothing of the worker's own, no secret, no search path.

    Args:
        temporary: the job's own folder for everything that libraries like to write.
        module_path: where the packages of the compute half are found.
        threads: how many threads a numeric library may use.
        cards: what CUDA calls the GPUs that the job may see, in their order; none for a CPU job.
    """
    return {
        "HOME": str(temporary),
        "TMPDIR": str(temporary),
        "XDG_CACHE_HOME": str(temporary),
        "MPLCONFIGDIR": str(temporary),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONPATH": os.pathsep.join(str(folder) for folder in module_path),
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # The fused kernels add in another order on each processor family; results should not depend on it.
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "KERAS_BACKEND": "tensorflow",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": ",".join(cards),
        # Without it, cuBLAS may choose another algorithm, and so other last digits, from run to run.
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }


def describe(*, spec: JobSpec, sandbox: Mapping[str, Json], cards: Iterable[Card] = ()) -> dict[str, Json]:
    """Return what a result has to name so that somebody else can repeat it; only what was really imported."""
    system = os.uname()
    return {
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "platform": "-".join((system.sysname, system.release, system.machine)),
        "packages": _versions({name: package for name, package in _PACKAGES.items() if name in sys.modules}),
        "threads": int(os.environ.get("OMP_NUM_THREADS", "0")) or os.cpu_count() or 1,
        "seed": spec.seed,
        "devices": list(spec.devices),
        **describe_cards(cards),
        "sandbox": dict(sandbox),
    }


def describe_cards(cards: Iterable[Card]) -> dict[str, Json]:
    """Return which card of the machine each device of a job is, under ``cards``; nothing for a job without one."""
    described = {
        f"cuda:{number}": {
            "on this machine": card.device,
            "name": card.name,
            "address": card.address,
            "file": card.device_file,
        }
        for number, card in enumerate(cards)
    }
    return {"cards": described} if described else {}


def _versions(packages: Mapping[str, str]) -> dict[str, str]:
    if not packages:
        return {}
    # Costs more than everything else that a child imports before its work.
    from importlib import metadata

    return {module: metadata.version(package) for module, package in packages.items()}


def peak_memory_bytes() -> int:
    """Return the most memory that this process held at once.

    ``VmHWM`` begins with the program; ``ru_maxrss`` would count what its parent held when it was started.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
