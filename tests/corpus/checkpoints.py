"""Pickles, and the checkpoints of torch around them: zip archives, legacy streams, tar archives."""

from __future__ import annotations

import io
import random
import struct
import tarfile
from pathlib import Path
from typing import Any

from tests.corpus.case import Benign, Case, Workshop
from tests.corpus.gadgets import GADGETS, Gadget
from tests.corpus.pickles import Call, Persistent, Raw, Spelling, assemble, call, named, plain
from tests.corpus.zips import Entry, write_zip

_MAGIC = 0x1950A86A20F9469CFC6C
#: A call of something that is on no list.
_CALLED = ("ART-01.pickle",)
#: The same, or opcodes that no writer of checkpoints uses.
_PICKLE_ITSELF = ("ART-01.pickle", "ART-02.pickle")
_TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")


def tensor(key: str = "0", count: int = 4) -> Call:
    """Return the calls that make a float32 tensor of a stored storage, as torch writes them."""
    storage = Persistent(("storage", named("torch:FloatStorage"), key, "cpu", count))
    hooks = call("collections:OrderedDict")
    return call("torch._utils:_rebuild_tensor_v2", storage, 0, (count,), (1,), False, hooks)


def hidden_in_a_state_dict(shop: Workshop, payload: Any) -> Any:
    """Return a state dict that holds a payload somewhere between its tensors."""
    rng = shop.rng
    places = [
        lambda: {shop.word(): tensor(), shop.word(): payload},
        lambda: {shop.word(): payload, shop.word(): tensor()},
        lambda: {"state_dict": {shop.word(): tensor()}, "optimizer": {"state": {0: payload}, "param_groups": []}},
        lambda: {"model": {shop.word(): tensor()}, "epoch": [1, (2, payload)]},
        lambda: [tensor(), {"meta": [payload]}],
    ]
    return rng.choice(places)()


def zip_entries(pickled: bytes, rng: random.Random, *, storage: bytes = bytes(16)) -> list[Entry]:
    """Return the entries of a checkpoint in torch's zip format."""
    root = rng.choice(["archive", "model", "checkpoint", "weights_1"])
    return [
        Entry(f"{root}/data.pkl", pickled),
        Entry(f"{root}/byteorder", b"little"),
        Entry(f"{root}/data/0", storage),
        Entry(f"{root}/version", b"3\n"),
        Entry(f"{root}/.data/serialization_id", b"".join(b"%d" % rng.randrange(10) for _ in range(40))),
    ]


def zip_checkpoint(shop: Workshop, value: Any, *, protocol: int = 2) -> Path:
    """Write a checkpoint in torch's zip format."""
    return zip_of(shop, plain(value, protocol))


def zip_of(shop: Workshop, pickled: bytes) -> Path:
    """Write a checkpoint in torch's zip format around a pickle."""
    return write_zip(shop.path(*_TORCH_SUFFIXES), zip_entries(pickled, shop.rng))


def legacy_stream(shop: Workshop, parts: dict[str, Any], *, storage: bytes | None = None) -> Path:
    """Write five pickles one after the other, as torch did before 1.6; ``parts`` replaces some."""
    stream = {
        "magic": _MAGIC,
        "protocol": 1001,
        "system": {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}},
        "object": {shop.word(): 1.5},
        "keys": [],
    } | parts
    path = shop.path(*_TORCH_SUFFIXES)
    with path.open("wb") as file:
        for value in stream.values():
            file.write(plain(value))
        if storage is not None:
            file.write(struct.pack("<q", len(storage) // 4) + storage)
    return path


def legacy_tensor(count: int = 4) -> Call:
    """Return a tensor as a legacy stream names it: the storage's record has a place for a view."""
    storage = Persistent(("storage", named("torch:FloatStorage"), "0", "cpu", count, None))
    return call("torch._utils:_rebuild_tensor_v2", storage, 0, (count,), (1,), False, call("collections:OrderedDict"))


def tar_checkpoint(shop: Workshop, value: Any) -> Path:
    """Write the tar archive of torch before 0.1.10."""
    path = shop.path(".pt", ".tar", ".pth")
    members = {
        "storages": plain(0) + plain([]),
        "tensors": plain(0),
        "pickle": plain(value),
    }
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            information = tarfile.TarInfo(name)
            information.size = len(content)
            archive.addfile(information, io.BytesIO(content))
    return path


def bare_pickle(shop: Workshop, pickled: bytes) -> Path:
    """Write a pickle alone."""
    path = shop.path(".pkl", ".pickle", ".bin", ".pt")
    path.write_bytes(pickled)
    return path


def _gadget_case(name: str, gadget: Gadget) -> Case:
    def make(shop: Workshop) -> Path:
        payload = gadget(shop)
        if shop.rng.random() < 0.3:
            return legacy_stream(shop, {"object": {shop.word(): payload}})
        return zip_checkpoint(shop, hidden_in_a_state_dict(shop, payload))

    says = f"A pickle calls {name.replace('_', ' ')} when it is loaded."
    return Case(f"pickle/{name}", says, make, _PICKLE_ITSELF if name in _OF_OPCODES else _CALLED, "state_dict", "torch")


#: Gadgets that are made of opcodes, and not of calls alone.
_OF_OPCODES = frozenset({"extension_registry", "late_from_memo", "build_state"})


def _spelled(name: str, says: str, spelling: Spelling, protocol: int) -> Case:
    def make(shop: Workshop) -> Path:
        value = hidden_in_a_state_dict(shop, _payload(shop))
        return zip_of(shop, assemble(value, shop.rng, protocol=protocol, spelling=spelling))

    return Case(f"spelling/{name}", says, make, _PICKLE_ITSELF, "state_dict", "torch")


def _payload(shop: Workshop) -> Any:
    return GADGETS[shop.rng.choice(["system", "popen", "eval", "subprocess", "open", "getattr_chain"])](shop)


def _legacy_part(part: str) -> Case:
    def make(shop: Workshop) -> Path:
        payload = _payload(shop)
        value: Any = payload
        if part == "system":
            value = {"little_endian": payload}
        elif part == "keys":
            value = [payload]
        return legacy_stream(shop, {part: value})

    says = f"A legacy stream carries its payload in the pickle of the {part}."
    # Without its magic number, nothing tells a legacy stream from any other pickle.
    rules = (*_PICKLE_ITSELF, "ART-03.format") if part == "magic" else _PICKLE_ITSELF
    return Case(f"legacy/{part}", says, make, rules, "state_dict", "torch")


def _body(value: Any) -> bytes:
    """Return the opcodes of a plain pickle that put its value on the stack."""
    return plain(value)[2:-1]


def _cut_after_the_payload(shop: Workshop) -> Path:
    return zip_of(shop, b"\x80\x02" + _body(_payload(shop)))


def _unknown_opcode_behind_the_payload(shop: Workshop) -> Path:
    return zip_of(shop, b"\x80\x02" + _body(_payload(shop)) + b"\xff\xff.")


def _framed(shop: Workshop) -> Path:
    body = _body(_payload(shop)) + b"."
    return zip_of(shop, b"\x80\x04\x95" + struct.pack("<Q", len(body)) + body)


def _lying_protocol(shop: Workshop) -> Path:
    return zip_of(shop, b"\x80\x05" + _body(_payload(shop)) + b".")


def _popped(shop: Workshop) -> Path:
    # The result of the call is thrown away: what is left is a plain state dict.
    return zip_of(shop, b"\x80\x02" + _body(_payload(shop)) + b"0" + _body({shop.word(): tensor()}) + b".")


def _no_header(shop: Workshop) -> Path:
    return bare_pickle(shop, assemble([GADGETS["system"](shop)], shop.rng, protocol=shop.rng.randint(0, 1)))


def _bare(shop: Workshop) -> Path:
    return bare_pickle(shop, plain([_payload(shop)], shop.rng.randint(2, 5)))


def _two_pickles(shop: Workshop) -> Path:
    return bare_pickle(shop, plain({"a": 1}) + plain(_payload(shop)))


def _key_of_a_storage(shop: Workshop) -> Path:
    return zip_checkpoint(shop, {shop.word(): Persistent(("storage", _payload(shop), "0", "cpu", 4))})


def _argument_of_a_harmless_call(shop: Workshop) -> Path:
    return zip_checkpoint(shop, {shop.word(): call("collections:OrderedDict", [("a", _payload(shop))])})


def _state_of_a_harmless_object(shop: Workshop) -> Path:
    state = _body({shop.word(): _payload(shop)})
    return zip_checkpoint(shop, Raw(_body(call("collections:OrderedDict")) + state + b"b"))


def _subclass_of_array(shop: Workshop) -> Path:
    value = call("numpy._core.multiarray:_reconstruct", named("numpy:memmap"), (0,), b"b")
    return zip_checkpoint(shop, {"a": value, "b": _payload(shop)})


def _tar_trick(name: str, says: str, rules: tuple[str, ...], bite: str = "torch") -> Case:
    def make(shop: Workshop) -> Path:
        path = tar_checkpoint(shop, [_payload(shop)] if bite == "torch" else {shop.word(): 1})
        _TAR_TRICKS[name](path, shop)
        return path

    return Case(f"tar/{name}", says, make, rules, "state_dict", bite)


def _append(path: Path, *, name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b"") -> None:
    with tarfile.open(path, "a") as archive:
        information = tarfile.TarInfo(name)
        information.type, information.linkname, information.size = kind, link, len(content)
        archive.addfile(information, io.BytesIO(content))


def _at_decoy(shop: Workshop) -> str:
    """Return where the host's decoy lies, seen from the folder that an archive is unpacked in."""
    return f"../../{shop.decoy.name}"


def _harmless_first(path: Path, shop: Workshop) -> None:
    # tarfile takes the last member of a name; a reader that takes the first sees a harmless one.
    with tarfile.open(path) as archive:
        file = archive.extractfile("pickle")
        assert file is not None
        hostile = file.read()
    path.unlink()
    tar_checkpoint(shop, {}).rename(path)
    _append(path, name="pickle", content=hostile)


def _through_a_link(path: Path, shop: Workshop) -> None:
    # No name leaves the folder: the second member is written to where the first one points.
    name = shop.word()
    _append(path, name=name, kind=tarfile.SYMTYPE, link="../..")
    _append(path, name=f"{name}/marker", content=b"x")


def _other_name(path: Path, shop: Workshop) -> None:
    # Readers that know no extended headers see the harmless name.
    with tarfile.open(path, "a", format=tarfile.PAX_FORMAT) as archive:
        information = tarfile.TarInfo(shop.word())
        information.pax_headers = {"path": "../../marker"}
        archive.addfile(information)


_DEVICES = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
_TAR_TRICKS = {
    "pickle": lambda path, shop: None,
    "twice": _harmless_first,
    "link": lambda path, shop: _append(path, name=shop.word(), kind=tarfile.SYMTYPE, link=_at_decoy(shop)),
    "hard_link": lambda path, shop: _append(path, name=shop.word(), kind=tarfile.LNKTYPE, link=_at_decoy(shop)),
    "traversal": lambda path, shop: _append(path, name="../../marker", content=b"x"),
    "absolute": lambda path, shop: _append(path, name=str(shop.marker), content=b"x"),
    "through_link": _through_a_link,
    "other_name": _other_name,
    "device": lambda path, shop: _append(path, name=shop.word(), kind=shop.rng.choice(_DEVICES)),
    "behind_the_end": lambda path, shop: path.write_bytes(path.read_bytes() + b"hidden" * 100),
}

#: A tar archive is refused as a whole or by what is wrong with it.
_TAR_RULES = (
    "ART-02.name_and_content",
    "ART-02.not_a_model",
    "ART-03.format",
    "ART-01.pickle",
    "ART-02.archive",
    "ART-02.link",
    "ART-02.entry_name",
    "ART-02.duplicate_name",
    "ART-02.suffix_data",
    "ART-02.unknown_entry",
    "ART-02.truncated",
)


def _case(name: str, says: str, make: Any, bite: str = "torch", rules: tuple[str, ...] = _PICKLE_ITSELF) -> Case:
    return Case(name, says, make, rules, "state_dict", bite)


_DAMAGED = (*_PICKLE_ITSELF, "ART-02.truncated")
#: What the oldest pickles are taken for: they have no first bytes of their own.
_BARE = ("ART-03.format", "ART-02.name_and_content", "ART-02.not_a_model")
_SPELLINGS = (
    _spelled("escapes", "Every text is written in escapes.", Spelling(text="V"), 2),
    _spelled("quotes", "Every text is quoted.", Spelling(text="S"), 2),
    _spelled("stack", "Names come from the stack, in an old protocol.", Spelling(names="stack"), 2),
    _spelled("memo", "Names come from the memo, in another order.", Spelling(names="memo"), 4),
    _spelled("inst", "A function is made an instance.", Spelling(calls="inst"), 2),
    _spelled("obj", "A function is made an object.", Spelling(calls="obj"), 3),
    _spelled("protocol_0", "The oldest protocol.", Spelling(names="global", calls="reduce"), 0),
    _spelled("protocol_5", "The newest protocol.", Spelling(), 5),
)

CASES: tuple[Case, ...] = (
    *(_gadget_case(name, gadget) for name, gadget in GADGETS.items()),
    *_SPELLINGS,
    *(_legacy_part(part) for part in ("magic", "protocol", "system", "object", "keys")),
    _case("pickle/bare", "A pickle alone.", _bare, rules=_BARE),
    _case("pickle/no_header", "A pickle alone, of protocol 0 or 1.", _no_header, rules=_BARE),
    Case(
        "pickle/two",
        "A second pickle behind the first.",
        _two_pickles,
        _BARE,
        "",
        "pickles",
    ),
    _case("pickle/cut_off", "The pickle is cut off behind the payload.", _cut_after_the_payload, rules=_DAMAGED),
    _case("pickle/unknown_opcode", "An unknown opcode follows the payload.", _unknown_opcode_behind_the_payload),
    _case("pickle/framed", "The payload lies in a frame.", _framed),
    _case("pickle/protocol", "The protocol is not the one of the opcodes.", _lying_protocol),
    _case("pickle/popped", "The result of the payload is thrown away.", _popped),
    _case("pickle/storage_type", "The payload stands for the type of a storage.", _key_of_a_storage),
    _case("pickle/argument", "The payload is an argument of a harmless call.", _argument_of_a_harmless_call),
    _case("pickle/state", "The payload is in the state of a harmless object.", _state_of_a_harmless_object),
    _case("pickle/array_class", "An array is made of a class that writes files.", _subclass_of_array),
    _tar_trick("pickle", "A tar checkpoint runs its pickle.", _TAR_RULES),
    _tar_trick("twice", "The member that is loaded stands behind a harmless one.", _TAR_RULES),
    _tar_trick("link", "A member is a link out of the archive.", _TAR_RULES, "tarfile"),
    _tar_trick("hard_link", "A member is a hard link out of the archive.", _TAR_RULES, "tarfile"),
    _tar_trick("traversal", "The name of a member leaves the folder.", _TAR_RULES, "tarfile"),
    _tar_trick("absolute", "The name of a member is absolute.", _TAR_RULES, "tarfile"),
    _tar_trick("through_link", "A member is written through a link that another one is.", _TAR_RULES, "tarfile"),
    _tar_trick("other_name", "A header in front gives a member another name, which leaves.", _TAR_RULES, "tarfile"),
    _tar_trick("device", "A device or a pipe is among the members, which torch passes over.", _TAR_RULES),
    _tar_trick("behind_the_end", "Data follows the end of the archive.", _TAR_RULES),
)


def _plain_zip(shop: Workshop) -> Path:
    value = {shop.word(): tensor(), "note": "import os; os.system('this is a text')", "steps": [1, 2.5, None, True]}
    return zip_checkpoint(shop, value)


def _plain_legacy(shop: Workshop) -> Path:
    parts = {"object": {shop.word(): legacy_tensor()}, "keys": ["0"]}
    return legacy_stream(shop, parts, storage=struct.pack("<4f", 1, 2, 3, 4))


BENIGN: tuple[Benign, ...] = (
    Benign("pickle/plain", "A state dict with a text that only looks like code.", _plain_zip, "state_dict"),
    Benign("legacy/plain", "A legacy stream with one tensor.", _plain_legacy, "state_dict"),
)
