"""What a pickle can call: gadgets, each with its twins, all of which only make a marker file.

Source: the deny-lists of picklescan 1.0.5, fickling and modelscan, and what these lists lack.
"""

from __future__ import annotations

import base64
import importlib.util
import marshal
import pickle
import struct
from collections.abc import Callable
from typing import Any

from tests.corpus.case import Workshop
from tests.corpus.pickles import Call, Global, Raw, assemble, call, named, plain

#: Builds the calls of one gadget around the workshop's marker.
Gadget = Callable[[Workshop], Any]


def shell(shop: Workshop) -> str:
    """Return a shell command that makes the marker."""
    return shop.rng.choice(["touch {}", ": > {}", "/usr/bin/touch {}", "true; touch {}"]).format(shop.marker)


def code(shop: Workshop) -> str:
    """Return a Python expression that makes the marker."""
    path = repr(str(shop.marker))
    return shop.rng.choice(
        [
            f"open({path}, 'w')",
            f"__import__('pathlib').Path({path}).touch()",
            f"__import__('os').system('touch ' + {path})",
            f"[f for f in [open] if f({path}, 'w')]",
        ]
    )


def _one_of(*gadgets: Gadget) -> Gadget:
    return lambda shop: shop.rng.choice(gadgets)(shop)


def _with_shell(*paths: str) -> Gadget:
    return lambda shop: call(shop.rng.choice(paths), shell(shop))


def _with_code(*paths: str) -> Gadget:
    return lambda shop: call(shop.rng.choice(paths), code(shop))


def _with_argv(*paths: str) -> Gadget:
    return lambda shop: call(shop.rng.choice(paths), ["/usr/bin/touch", str(shop.marker)])


def _with_marker(*paths: str, after: tuple[Any, ...] = ()) -> Gadget:
    return lambda shop: call(shop.rng.choice(paths), str(shop.marker), *after)


def _module(shop: Workshop, name: str) -> Call:
    return call(shop.rng.choice(["importlib:import_module", "builtins:__import__"]), name)


def _getattr_chain(shop: Workshop) -> Any:
    return Call(call("builtins:getattr", _module(shop, "os"), "system"), (shell(shop),))


def _attrgetter(shop: Workshop) -> Any:
    getter = call(shop.rng.choice(["operator:attrgetter", "_operator:attrgetter"]), "system")
    return Call(Call(getter, (_module(shop, "os"),)), (shell(shop),))


def _methodcaller(shop: Workshop) -> Any:
    caller = call(shop.rng.choice(["operator:methodcaller", "_operator:methodcaller"]), "touch")
    return Call(caller, (call("pathlib:Path", str(shop.marker)),))


def _partial(shop: Workshop) -> Any:
    return Call(call("functools:partial", named("os:system"), shell(shop)))


def _path_method(shop: Workshop) -> Any:
    name = shop.rng.choice(["Path.touch", "Path.mkdir", "PosixPath.touch"])
    return call(f"pathlib:{name}", call("pathlib:Path", str(shop.marker)))


def _through_innocent_module(shop: Workshop) -> Any:
    paths = ["torch.serialization:os.system", "torch.hub:os.system", "shutil:os.system", "zipfile:shutil.os.system"]
    return call(shop.rng.choice(paths), shell(shop))


def _memory_of_modules(shop: Workshop) -> Any:
    # sys.modules["os"].system, without ever naming os as a module.
    modules = call("sys:modules.get", "os")
    return Call(call("builtins:getattr", modules, "system"), (shell(shop),))


def _lazily(shop: Workshop) -> Any:
    lazy = [
        call("builtins:map", named("os:system"), [shell(shop)]),
        call("itertools:starmap", named("os:system"), [(shell(shop),)]),
    ]
    eager = shop.rng.choice(["builtins:list", "builtins:set", "builtins:tuple", "collections:deque"])
    return call(eager, shop.rng.choice(lazy))


def _thread(shop: Workshop) -> Any:
    thread = call("threading:Thread", None, named("os:system"), None, (shell(shop),))
    return call("threading:Thread.run", thread)


def _debugger(shop: Workshop) -> Any:
    owner, made = shop.rng.choice([("bdb:Bdb.run", call("bdb:Bdb")), ("trace:Trace.run", call("trace:Trace", 0, 0))])
    return call(owner, made, code(shop))


def _interpreter(shop: Workshop) -> Any:
    return call("code:InteractiveInterpreter.runsource", call("code:InteractiveInterpreter"), code(shop))


def _function_type(shop: Workshop) -> Any:
    compiled = call("builtins:compile", code(shop), "model.py", "exec")
    return Call(call("types:FunctionType", compiled, {"__builtins__": call("builtins:__import__", "builtins")}))


def _browser(shop: Workshop) -> Any:
    return call("webbrowser:GenericBrowser.open", call("webbrowser:GenericBrowser", ["touch", "%s"]), str(shop.marker))


def _script(shop: Workshop) -> Any:
    path = shop.folder / f"{shop.word()}.py"
    path.write_text(code(shop))
    return call("runpy:run_path", str(path))


def _nested_pickle(shop: Workshop) -> Any:
    inner = assemble(call("os:system", shell(shop)), shop.rng)
    return call(shop.rng.choice(["pickle:loads", "_pickle:loads", "pickle:_loads"]), inner)


def _pickle_in_a_file(shop: Workshop) -> Any:
    path = shop.folder / f"{shop.word()}.joblib"
    path.write_bytes(pickle.dumps(None)[:-2] + assemble(call("os:system", shell(shop)), shop.rng, protocol=4)[2:])
    return call(shop.rng.choice(["joblib:load", "pandas:read_pickle"]), str(path))


def _torch_load(shop: Workshop) -> Any:
    path = shop.folder / f"{shop.word()}.bin"
    path.write_bytes(assemble(call("os:system", shell(shop)), shop.rng, protocol=2))
    return call(shop.rng.choice(["torch:load", "torch.serialization:load"]), str(path), weights_only=False)


def _torch_hub(shop: Workshop) -> Any:
    (shop.folder / "hubconf.py").write_text(f"def entry():\n    {code(shop)}\n")
    return call("torch.hub:load", str(shop.folder), "entry", source="local", trust_repo=True)


def _torch_executes(shop: Workshop) -> Any:
    return shop.rng.choice(
        [
            call("torch.jit.unsupported_tensor_ops:execWrapper", code(shop), {}, {}),
            call("torch.fx.graph_module:_exec_with_source", code(shop), {}),
            call("torch.fx.graph_module:_forward_from_src", f"{code(shop)}\ndef forward(): pass", {}),
            call("torch.fx.graph_module:reduce_graph_module", {"_code": "def forward(self): pass"}, f"{code(shop)}\n"),
        ]
    )


def _torch_guards(shop: Workshop) -> Any:
    environment = call("torch.fx.experimental.symbolic_shapes:ShapeEnv")
    name = "ShapeEnv.evaluate_guards_expression"
    return call(f"torch.fx.experimental.symbolic_shapes:{name}", environment, code(shop), ())


def _torch_configuration(shop: Workshop) -> Any:
    inner = assemble({"x": call("os:system", shell(shop))}, shop.rng)
    return shop.rng.choice(
        [
            call("torch._inductor.config:load_config", inner),
            call("torch.utils.data.datapipes.utils.decoder:basichandlers", "pickle", inner),
        ]
    )


def _torch_writes(shop: Workshop) -> Any:
    path = str(shop.marker)
    return shop.rng.choice(
        [
            call("torch:save", [1], path),
            call("torch.serialization:save", [1], path),
            call("torch:from_file", path, True, 64),
            call("torch:UntypedStorage.from_file", path, True, 64),
            call("torch._C:PyTorchFileWriter", path),
        ]
    )


def _torch_rebuild(shop: Workshop) -> Any:
    # A function that real checkpoints name, which calls whatever it is given.
    return call("torch._tensor:_rebuild_from_type_v2", named("os:system"), named("torch:Tensor"), (shell(shop),), None)


def _numpy_executes(shop: Workshop) -> Any:
    return shop.rng.choice(
        [
            call("numpy.f2py.crackfortran:getlincoef", code(shop), {}),
            call("numpy.f2py.crackfortran:myeval", code(shop)),
            call("numpy.testing._private.utils:runstring", code(shop), {}),
        ]
    )


def _numpy_writes(shop: Workshop) -> Any:
    path = str(shop.marker)
    return shop.rng.choice(
        [
            call("numpy:memmap", path, "uint8", "w+", 0, (1,)),
            call("numpy:savetxt", path, [1.0]),
            call("numpy:ndarray.tofile", call("numpy:ones", 1), path),
        ]
    )


def _archives_write(shop: Workshop) -> Any:
    paths = ["zipfile:ZipFile", "gzip:GzipFile", "bz2:BZ2File", "lzma:LZMAFile", "wave:open"]
    return call(shop.rng.choice(paths), str(shop.marker), "w")


def _copies(shop: Workshop) -> Any:
    source = shop.folder / shop.word()
    source.write_bytes(b"")
    return call(
        shop.rng.choice(["shutil:copyfile", "shutil:copy", "shutil:move", "os:link", "os:symlink", "os:rename"]),
        str(source),
        str(shop.marker),
    )


def _extension_registry(shop: Workshop) -> Any:
    number = shop.rng.randint(1, 250)
    register = plain(call("copyreg:add_extension", "os", "system", number))[2:-1]
    command = shell(shop).encode()
    reduce = b"\x82" + bytes([number]) + b"X" + len(command).to_bytes(4, "little") + command + b"\x85R"
    return Raw(register + b"0" + reduce)


def _second_from_memo(shop: Workshop) -> Any:
    # The function is made under another name and called long after, from the memo.
    command = shell(shop).encode()
    return Raw(
        b"cos\nsystem\nr\x00\x01\x00\x00"
        + b"0K\x010N0"
        + b"j\x00\x01\x00\x00"
        + b"X"
        + len(command).to_bytes(4, "little")
        + command
        + b"\x85R"
    )


def _python_2_names(shop: Workshop) -> Any:
    # Under protocol 2 and older, Python translates the names of Python 2 before it looks them up.
    path, argument = shop.rng.choice([("commands:getoutput", shell(shop)), ("__builtin__:eval", code(shop))])
    return call(path, argument)


def _build_state(shop: Workshop) -> Any:
    # BUILD calls __setstate__: functools.partial becomes another one after it was made.
    harmless = plain(call("functools:partial", named("builtins:len")))[2:-1]
    state = plain((Global("os", "system"), (shell(shop),), {}, None))[2:-1]
    return Raw(harmless + state + b"b)R")


def _spawn(shop: Workshop) -> Any:
    argv = ["touch", str(shop.marker)]
    return shop.rng.choice(
        [
            call("os:posix_spawn", "/usr/bin/touch", argv, {}),
            call("os:spawnvp", 0, "touch", argv),
            call("multiprocessing.util:spawnv_passfds", b"/usr/bin/touch", argv, ()),
        ]
    )


def _sympy(shop: Workshop) -> Any:
    return call(shop.rng.choice(["sympy:sympify", "sympy.core.sympify:sympify"]), code(shop))


def _yaml(shop: Workshop) -> Any:
    text = f"!!python/object/apply:os.system ['{shell(shop)}']"
    return call("yaml:unsafe_load", text)


def _downloads(shop: Workshop) -> Any:
    source = shop.folder / shop.word()
    source.write_bytes(b"x")
    return call("urllib.request:urlretrieve", source.as_uri(), str(shop.marker))


def _asynchronously(shop: Workshop) -> Any:
    return call("asyncio:run", call("asyncio.subprocess:create_subprocess_shell", shell(shop)))


def _ctypes(shop: Workshop) -> Any:
    library = call(shop.rng.choice(["ctypes:CDLL", "ctypes:PyDLL"]), None)
    return Call(call("builtins:getattr", library, "system"), (shell(shop).encode(),))


def _pager(shop: Workshop) -> Any:
    return call("pydoc:pipepager", "text", f"cat > {shop.marker}")


def _profiler(shop: Workshop) -> Any:
    path = shop.rng.choice(["cProfile:runctx", "profile:runctx"])
    return call(path, code(shop), {"__builtins__": call("builtins:__import__", "builtins")}, {})


def _timer(shop: Workshop) -> Any:
    return call(shop.rng.choice(["timeit:timeit", "timeit:repeat"]), "pass", code(shop))


def _resolves(shop: Workshop) -> Any:
    return Call(call("pkgutil:resolve_name", "os:system"), (shell(shop),))


def bytecode(source: str) -> bytes:
    """Return what Python compiles a source to, under a head that says that no source need be asked."""
    compiled = marshal.dumps(compile(source, "model.py", "exec"))
    return importlib.util.MAGIC_NUMBER + struct.pack("<IQ", 1, 0) + compiled


def stored_code(shop: Workshop) -> dict[str, Any]:
    """Return a function that runs code and returns what it was given, as Keras stores one that has no name."""
    source = f"lambda *given, **named: [{code(shop)}, given[0]][1]"
    raw = marshal.dumps(eval(source).__code__)
    return {"code": base64.encodebytes(raw).decode(), "defaults": None, "closure": None}


GADGETS: dict[str, Gadget] = {
    "system": _with_shell("os:system", "posix:system"),
    "popen": _with_shell("os:popen", "subprocess:getoutput", "subprocess:getstatusoutput"),
    "subprocess": _with_argv("subprocess:Popen", "subprocess:run", "subprocess:call", "subprocess:check_output"),
    "spawn": _spawn,
    "exec_and_replace": lambda shop: call("os:execv", "/usr/bin/touch", ["touch", str(shop.marker)]),
    "eval": _with_code("builtins:eval"),
    "exec": _with_code("builtins:exec"),
    "function_type": _function_type,
    "getattr_chain": _getattr_chain,
    "attrgetter": _attrgetter,
    "methodcaller": _methodcaller,
    "partial": _partial,
    "path_method": _path_method,
    "through_an_innocent_module": _through_innocent_module,
    "sys_modules": _memory_of_modules,
    "lazy_map": _lazily,
    "thread": _thread,
    "debugger": _debugger,
    "interpreter": _interpreter,
    "profiler": _profiler,
    "timer": _timer,
    "browser": _browser,
    "script": _script,
    "nested_pickle": _nested_pickle,
    "pickle_in_a_file": _pickle_in_a_file,
    "open": _with_marker("builtins:open", "io:open", "_io:FileIO", "codecs:open", after=("w",)),
    "directory": _with_marker("os:mkdir", "os:makedirs", "os:mkfifo"),
    "copy": _copies,
    "archives": _archives_write,
    "database": lambda shop: call(shop.rng.choice(["sqlite3:connect", "_sqlite3:connect"]), str(shop.marker)),
    "log_file": _with_marker("logging:FileHandler", "logging.handlers:RotatingFileHandler"),
    "resolve_name": _resolves,
    "pip": lambda shop: call("pip._internal.cli.main:main", ["--log", str(shop.marker), "config", "list"]),
    "uuid": lambda shop: call("uuid:_get_command_stdout", "touch", str(shop.marker)),
    "mail": _with_shell("imaplib:IMAP4_stream"),
    "pager": _pager,
    "distutils": lambda shop: call("distutils.file_util:write_file", str(shop.marker), ["x"]),
    "download": _downloads,
    "asyncio": _asynchronously,
    "ctypes": _ctypes,
    "sympy": _sympy,
    "yaml": _yaml,
    "numpy_executes": _numpy_executes,
    "numpy_writes": _numpy_writes,
    "torch_load": _torch_load,
    "torch_hub": _torch_hub,
    "torch_executes": _torch_executes,
    "torch_guards": _torch_guards,
    "torch_configuration": _torch_configuration,
    "torch_environment": _with_shell("torch.utils.collect_env:run"),
    "torch_writes": _torch_writes,
    "torch_rebuild": _torch_rebuild,
    "extension_registry": _extension_registry,
    "late_from_memo": _second_from_memo,
    "python_2_names": _python_2_names,
    "build_state": _build_state,
}
