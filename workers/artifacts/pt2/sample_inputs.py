"""Reads, without running it, the one pickle of a ``.pt2``: the sample inputs.

``torch.export.load`` unpickles them, and where the safe way fails it takes the unsafe one. The rewritten file has no
sample inputs at all (an empty entry loads); this module only tells a person whether the upload carried plain tensors
or something else. Every opcode is parsed and every global is looked up in a list of exact paths.
"""

from __future__ import annotations

import io
import pickletools

from workers.artifacts.archive import Archive
from workers.artifacts.findings import RefusalError, refusal, shown
from workers.artifacts.limits import Limits

_MAX_PICKLE_BYTES = 4 * 1024 * 1024
_MAX_STORED_BYTES = 2 * 1024**3

_STORAGES = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool", "ComplexFloat")
_GLOBALS = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch.storage UntypedStorage",
        "torch device",
        # Tensors that carry attributes: torch marks the ones whose sizes were declared open.
        "torch._tensor _rebuild_from_type_v2",
        "torch Tensor",
        "__builtin__ set",
        *(f"torch {name}Storage" for name in _STORAGES),
    }
)
# fmt: off
_OPCODES = frozenset(
    {
        "APPEND", "APPENDS", "BINFLOAT", "BINGET", "BININT", "BININT1", "BININT2", "BINPERSID", "BINPUT",
        "BINUNICODE", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "GLOBAL", "LONG1", "LONG_BINGET",
        "LONG_BINPUT", "MARK", "NEWFALSE", "NEWTRUE", "NONE", "PROTO", "REDUCE", "SETITEM", "SETITEMS",
        "SHORT_BINUNICODE", "STOP", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    }
)
# fmt: on


def check(content: bytes, place: str) -> None:
    """Refuse sample inputs that are more than tensors in tuples, lists and dictionaries.

    Raises:
        RefusalError: ``ART-01.pickle`` with the global or opcode and its offset.
    """
    if not content:
        return
    try:
        archive = Archive(io.BytesIO(content), Limits(entries=10_000, total_bytes=_MAX_STORED_BYTES))
    except RefusalError as error:
        detail = f"The sample inputs are not the archive that torch.save writes: {error.finding.detail}"
        raise refusal("ART-01.pickle", detail, place) from None
    pickles = [name for name in archive.entries if name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise refusal("ART-01.pickle", f"The sample inputs hold {len(pickles)} pickles; one is expected.", place)
    _check_pickle(archive.read(pickles[0], _MAX_PICKLE_BYTES), f"{place}: {pickles[0]}")


def _check_pickle(content: bytes, place: str) -> None:
    end = 0
    try:
        for opcode, argument, position in pickletools.genops(content):
            end = (position or 0) + 1
            where = f"{place}, byte {position}"
            if opcode.name == "GLOBAL" and argument not in _GLOBALS:
                detail = f"The sample inputs call {shown(argument)}; plain tensors do not."
                raise refusal("ART-01.pickle", detail, where)
            if opcode.name not in _OPCODES:
                detail = f"The sample inputs use the pickle opcode {opcode.name}; plain tensors do not."
                raise refusal("ART-01.pickle", detail, where)
    except (ValueError, EOFError, IndexError, KeyError, OverflowError) as error:
        detail = f"The pickle of the sample inputs is damaged: {shown(str(error), 120)}."
        raise refusal("ART-01.pickle", detail, place) from None
    if end != len(content):
        raise refusal("ART-01.pickle", f"{len(content) - end:,} bytes follow the pickle of the sample inputs.", place)
