"""Runners of a tiny job kind: each does one thing that a child may do, well or badly."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workers.context import JobContext
from workers.protocol import JobError


def run(context: JobContext) -> dict[str, Any]:
    """Do what the parameter ``do`` says, and answer."""
    return DEEDS[context.parameters.get("do", "answer")](context)


def answer(context: JobContext) -> dict[str, Any]:
    print("Working on the answer")
    context.progress(1, 2, "steps", "half")
    context.output("answer.txt").write_text("42")
    context.progress(2, 2, "steps", "done")
    return {"answer": 42}


def read_input(context: JobContext) -> dict[str, Any]:
    return {"answer": len(context.input("data").read_bytes())}


def wait_once(context: JobContext) -> dict[str, Any]:
    """Wait for ever in the first attempt, with a process of its own where one is allowed; answer in every later one."""
    if context.spec.attempt > 1:
        return answer(context)
    if context.device != "cpu":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "grandchild", str(context.folder)])
    context.progress(0, 1, "steps", "waiting")
    time.sleep(600)
    return {}


def add_up(context: JobContext) -> dict[str, Any]:
    """Add up numbers, one a piece; wait for ever (or end) at those named, each in the attempt of its place in the list.

    The answer tells the numbers that this attempt added, and the file the total of all.
    """
    waits = context.parameters["waits"]
    added = []
    with context.checkpoint(["numbers"]) as checkpoint:
        for number in range(checkpoint.piece_count, 10):
            if number in waits[context.spec.attempt - 1 : context.spec.attempt]:
                context.progress(number, 10, "numbers", "here it ends")
                if "end" in context.parameters:
                    DEEDS[context.parameters["end"]](context)
                time.sleep(600)
            checkpoint.add({"numbers": bytes([number])}, number)
            added.append(number)
        context.output("answer.txt").write_text(str(sum(checkpoint.path("numbers").read_bytes())))
    return {"answer": len(added), "added": added}


def wait(context: JobContext) -> dict[str, Any]:
    context.progress(0, 1, "steps", "waiting")
    time.sleep(600)
    return {}


def hold_the_interpreter(context: JobContext) -> dict[str, Any]:
    """Stay in native code that lets no other thread of Python run."""
    context.progress(0, 1, "steps", "waiting")
    ctypes.PyDLL(None).sleep(600)
    return {}


def refuse(context: JobContext) -> dict[str, Any]:
    raise JobError("label_outside_classes", "Row 7 has the label 'maybe'; the classes are no, yes.", place="row 7")


def break_down(context: JobContext) -> dict[str, Any]:
    raise RuntimeError("the runner broke here")


def leave(context: JobContext) -> dict[str, Any]:
    sys.exit("the runner left")


def kill_self(context: JobContext) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def crash(context: JobContext) -> dict[str, Any]:
    ctypes.string_at(0)
    return {}


def end_silently(context: JobContext) -> dict[str, Any]:
    os._exit(0)


def fill_memory(context: JobContext) -> dict[str, Any]:
    kept = []
    while True:
        kept.append(bytearray(64 * 1024 * 1024))


def burn_processor(context: JobContext) -> dict[str, Any]:
    while True:
        sum(range(1000))


def write_too_much(context: JobContext) -> dict[str, Any]:
    with context.output("big.bin").open("wb") as stream:
        while True:
            stream.write(bytes(1024 * 1024))


def fill_disk(context: JobContext) -> dict[str, Any]:
    raise OSError(28, "No space left on device")


def print_much(context: JobContext) -> dict[str, Any]:
    print("the first line")
    for _ in range(context.parameters["mebibytes"]):
        sys.stdout.write("x" * 1024 * 1024 + "\n")
    print("the last line")
    return {"answer": 1}


def answer_nan(context: JobContext) -> dict[str, Any]:
    return {"answer": float("nan")}


def answer_list(context: JobContext) -> Any:
    return [1]


def tell_endlessly(context: JobContext) -> dict[str, Any]:
    while True:
        context.progress(1, 0, "lines", "x" * 400)


def send(context: JobContext) -> dict[str, Any]:
    """Send bytes that are no message, then go on."""
    os.write(3, context.parameters["bytes"].encode())
    time.sleep(600)
    return {}


def send_long(context: JobContext) -> dict[str, Any]:
    os.write(3, b'{"type": "progress", "message": "' + b"x" * 50_000)
    time.sleep(600)
    return {}


def close_messages(context: JobContext) -> dict[str, Any]:
    os.close(3)
    os.closerange(1, 3)
    time.sleep(0.5)
    return {"answer": 1}


def tell_environment(context: JobContext) -> dict[str, Any]:
    return {"answer": 1, "environment": dict(os.environ)}


def open_cards(context: JobContext) -> dict[str, Any]:
    """Open every file of a folder as one opens a device, and tell those that let themselves be opened."""
    opened = []
    for name in (f"nvidia{end}" for end in ("-modeset", "-uvm", "-uvm-tools", 0, 1, 2, 3, "ctl")):
        try:
            os.close(os.open(Path(context.parameters["device_folder"]) / name, os.O_RDWR))
        except OSError:
            continue
        opened.append(name)
    return {"answer": 1, "opened": opened, "visible": os.environ["CUDA_VISIBLE_DEVICES"]}


def tell_path(context: JobContext) -> dict[str, Any]:
    return {"answer": 1, "path": sys.path, "folder": str(Path.cwd()), "stdin": os.read(0, 10).decode()}


def attempts(context: JobContext) -> dict[str, Any]:
    """Try everything that the sandbox is there to refuse; answer what happened to each."""
    outside = Path(context.parameters["outside"])
    parent = os.getppid()
    own_program = context.folder / "program"
    own_program.write_text("#!/bin/sh\nexit 0\n")
    own_program.chmod(0o700)
    (context.folder / "written.txt").write_text("here it may")
    return {
        "answer": 1,
        "write_inside": "done",
        "read_outside": _tried(lambda: (outside / "secret").read_text()),
        "write_outside": _tried(lambda: (outside / "planted").write_text("x")),
        "list_outside": _tried(lambda: list(outside.iterdir())),
        "change_outside": _tried(lambda: os.truncate(outside / "secret", 0)),
        "read_shadow": _tried(lambda: Path("/etc/shadow").read_bytes()),
        "read_parent_environment": _tried(lambda: Path(f"/proc/{parent}/environ").read_bytes()),
        "connect": _tried(lambda: socket.create_connection(("127.0.0.1", context.parameters["port"]), timeout=3)),
        "send_datagram": _tried(
            lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))
        ),
        "local_socket": _tried(lambda: socket.socket(socket.AF_UNIX).connect(str(outside / "socket"))),
        "resolve": _tried(lambda: socket.getaddrinfo("example.org", 80)),
        "new_session": _tried(os.setsid) if os.getpid() != os.getsid(0) else _tried(_new_session_of_a_child),
        "signal_parent": _tried(lambda: os.kill(parent, 0)),
        "run_own_program": _tried(lambda: subprocess.run([str(own_program)], check=True)),
        "own_pair": _tried(socket.socketpair),
    }


def _new_session_of_a_child() -> None:
    subprocess.run([sys.executable, "-c", "pass"], check=True, start_new_session=True)


def _tried(deed: Callable[[], Any]) -> str:
    try:
        deed()
    except OSError as error:
        return type(error).__name__
    return "done"


def predict_with_torch(context: JobContext) -> dict[str, Any]:
    import torch

    layer = torch.nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.zero_()
    return {"answer": int(layer(torch.ones(1, 3)).sum().item())}


def predict_with_keras(context: JobContext) -> dict[str, Any]:
    import keras
    import numpy as np

    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, kernel_initializer="ones")])
    model.compile(optimizer="adam", loss="mse")
    model.fit(np.zeros((4, 3)), np.zeros((4, 2)), epochs=1, verbose=0)
    return {"answer": round(float(np.sum(model.predict(np.ones((1, 3)), verbose=0))))}


def draw_a_chart(context: JobContext) -> dict[str, Any]:
    from workers.charts import draw

    encoding = {"x": {"field": "a", "type": "quantitative"}}
    drawing = draw({"mark": "bar", "data": {"values": [{"a": 1}]}, "encoding": encoding})
    return {"is_svg": drawing.startswith("<svg")}


DEEDS: dict[str, Callable[[JobContext], dict[str, Any]]] = {
    deed.__name__: deed
    for deed in (
        answer,
        read_input,
        wait_once,
        add_up,
        wait,
        hold_the_interpreter,
        refuse,
        break_down,
        leave,
        kill_self,
        crash,
        end_silently,
        fill_memory,
        burn_processor,
        write_too_much,
        fill_disk,
        print_much,
        answer_nan,
        answer_list,
        tell_endlessly,
        send,
        send_long,
        close_messages,
        tell_environment,
        open_cards,
        tell_path,
        attempts,
        predict_with_torch,
        predict_with_keras,
        draw_a_chart,
    )
}
