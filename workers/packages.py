"""The packages that a job imports from outside of Python's own folders."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

#: Those of Assay; their top modules hold no code.
_OURS = frozenset({"workers", "validators", "audits"})


def folders(runner: str, runner_packages: Sequence[str] = ()) -> list[Path]:
    """Return the folders of the top packages that a job may import, without importing them.

    Inside the sandbox, modules are read in these folders only, and the folder that holds them can no longer be listed:
    it may hold the installation's home as well.

    Args:
        runner: the runner of the job, ``package.module:function``.
        runner_packages: packages beside Assay's own in which runners may live.
    """
    tops = _OURS | {name.partition(":")[0].partition(".")[0] for name in (runner, *runner_packages)}
    found = (find_spec(top) for top in sorted(tops) if top.isidentifier())
    return [Path(path) for spec in found if spec is not None for path in spec.submodule_search_locations or ()]
