"""A Python that has kemb and its libraries loaded and forks once per command, so that 150 commands
do not import torch 150 times.

`case_client.py` hands over arguments, folder, environment, limits, user and the three standard
streams; the fork takes them on and runs `kemb ARGS` or a Python script as a fresh process would.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import email
import encodings
import gc
import importlib
import importlib.metadata
import importlib.readers
import io
import json
import os
import pkgutil
import resource
import select
import signal
import socket
import sys
import tempfile
import threading
import types
from typing import Any, NoReturn

LIGHT = (
    "importlib.readers",  # a case runs as nobody, who may not read the folder of the interpreter
    *("numpy", "pandas", "pyarrow.parquet", "rich.console", "rich.table", "scipy.stats"),
    *("sklearn.linear_model", "sklearn.cluster", "sklearn.metrics", "yaml"),
)
HEAVY = (
    *("torch", "transformers", "transformers.models.bert.modeling_bert", "datasets"),
    *("sentence_transformers", "sentence_transformers.sentence_transformer.modules"),
)


def serve(path: str, loads_torch: bool) -> NoReturn:
    """Accept commands for ever.

    :param path: of the socket, made last: where it is there, the server is ready.
    :param loads_torch: import torch and what stands on it before the first command.
    """
    _load(loads_torch)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path + ".new")
    os.chmod(path + ".new", 0o777)  # a case runs as nobody
    listener.listen(64)
    os.rename(path + ".new", path)
    gc.collect()
    gc.freeze()  # a fork copies no page only because the collector looked at it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the supervisors
    while True:
        ready, _, _ = select.select([listener.fileno(), 0], [], [])
        if 0 in ready:  # the runner's end of the pipe is closed: it has ended
            os._exit(0)
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _supervise(connection)
        connection.close()


def _load(loads_torch: bool) -> None:
    import kemb

    for name in LIGHT:
        importlib.import_module(name)
    # A fork that has become another user may not be allowed to read where Python lies.
    for package in (concurrent.futures, email, encodings, importlib.metadata):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            with contextlib.suppress(ImportError):  # those of other systems
                importlib.import_module(module.name)
    for module in pkgutil.walk_packages(kemb.__path__, "kemb."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    if not loads_torch:
        early = {"torch", "huggingface_hub"} & set(sys.modules)
        assert not early, f"{early} read the environment before a case sets it"
        return
    for name in HEAVY:
        importlib.import_module(name)


def _supervise(connection: socket.socket) -> NoReturn:
    """Fork the command; hand signals on to it, and its end back."""
    head, streams, _, _ = socket.recv_fds(connection, 4, 3)
    length = int.from_bytes(head, "big")
    message = b""
    while len(message) < length:
        message += connection.recv(length - len(message))
    request = json.loads(message)
    command = os.fork()
    if command == 0:
        connection.close()
        _become(request, streams)
        _execute(request)
    for stream in streams:
        os.close(stream)
    watch = os.pidfd_open(command)
    while True:
        ready, _, _ = select.select([connection.fileno(), watch], [], [])
        if watch in ready:
            break
        number = connection.recv(1)
        with contextlib.suppress(ProcessLookupError):
            if number:
                os.kill(command, number[0])
            else:  # the client was killed
                os.killpg(command, signal.SIGKILL)
                break
    _, status, usage = os.wait4(command, 0)
    report = {
        "exit": os.waitstatus_to_exitcode(status),
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_kilobytes": usage.ru_maxrss,
    }
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(report).encode())
        connection.setblocking(False)
        connection.recv(64)  # a signal that came too late: unread, it would take the answer with it
    os._exit(0)


def _become(request: dict[str, Any], streams: list[int]) -> None:
    os.setpgid(0, 0)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for name, limit in request["limits"].items():
        resource.setrlimit(int(name), tuple(limit))
    if request["user"] != os.geteuid():
        os.setgroups([])
        os.setgid(request["user"])
        os.setuid(request["user"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tempfile.tempdir = None
    sys.stdin = io.TextIOWrapper(open(0, "rb", closefd=False), encoding="utf-8")
    for name, number in (("stdout", 1), ("stderr", 2)):
        raw = open(number, "wb", buffering=0, closefd=False)
        errors = "strict" if number == 1 else "backslashreplace"
        writer = io.BufferedWriter(raw)
        setattr(sys, name, io.TextIOWrapper(writer, "utf-8", errors, line_buffering=number == 2))


def _execute(request: dict[str, Any]) -> NoReturn:
    """Run the command in this process and end it as Python would, without taking it to pieces."""
    code = 0
    try:
        if request["program"] == "kemb":
            from kemb.cli import main

            sys.modules["__main__"] = types.ModuleType("__main__")
            sys.argv = ["kemb", *request["arguments"]]
            main()
        else:
            _run_script(request["arguments"])
        threading._shutdown()  # type: ignore[attr-defined]
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(end.code + "\n")
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code & 0xFF)


def _run_script(arguments: list[str]) -> None:
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    sys.argv = arguments or ["-"]
    if sys.argv[0] == "-c":
        name, source = "<string>", arguments[1]
        sys.argv = ["-c", *arguments[2:]]
    elif sys.argv[0] == "-":
        name, source = "<stdin>", sys.stdin.read()
    else:
        name = sys.argv[0]
        with open(name, encoding="utf-8") as file:
            source = file.read()
    sys.path.insert(0, os.path.dirname(name))
    exec(compile(source, name, "exec"), main.__dict__)  # the case's own script


if __name__ == "__main__":
    serve(sys.argv[1], loads_torch=sys.argv[2] == "torch")
