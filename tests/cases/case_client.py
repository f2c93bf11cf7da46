"""Stands for `kemb` or `python` in a case's script: `case_client.py kemb|python ARGUMENT...`.

The command runs in a fork of `case_server.py`, or, where KEMB_CASE_REAL is set, in a process of its
own. Its output passes through and is written down, for calls of kemb, with exit code and arguments,
into the folder KEMB_CASE_CALLS. Standard library only: it starts 300 times.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import stat
import sys
import time

TYPE_CHECKING = False  # typing itself takes longer to import than the rest
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    End = Callable[[], dict[str, Any]]
    Limits = dict[str, tuple[int, int]]

LIMITS = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE)
MOST_BYTES = 200_000  # of a stream, that are written down


def main() -> NoReturn:
    """Run the command and end as it ended."""
    program, arguments = sys.argv[1], sys.argv[2:]
    start = time.time_ns()
    pipes = [os.pipe(), os.pipe()]
    streams = [0, pipes[0][1], pipes[1][1]]
    for stream in (1, 2):
        if _is_a_device(stream):
            streams[stream] = stream
    begin = _real if os.environ.get("KEMB_CASE_REAL") and program == "kemb" else _forked
    end = begin(program, arguments, streams)
    for _, writer in pipes:
        os.close(writer)
    texts = _pump([pipe[0] for pipe in pipes])
    report = end()
    if program == "kemb":
        report.update(arguments=arguments, folder=os.getcwd(), out=texts[0], err=texts[1])
        report["seconds"] = (time.time_ns() - start) / 1e9
        name = f"{os.environ['KEMB_CASE_CALLS']}/{start}-{os.getpid()}.json"
        with open(name, "w", encoding="utf-8") as file:
            json.dump(report, file)
    code = report["exit"]
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _is_a_device(stream: int) -> bool:
    """Whether a stream is one as /dev/full, to which the command itself must write."""
    status = os.fstat(stream)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev != os.stat(os.devnull).st_rdev


def _forked(program: str, arguments: list[str], streams: list[int]) -> End:
    limits = {str(limit): resource.getrlimit(limit) for limit in LIMITS}
    cpu = os.environ.get("KEMB_CASE_CPU")
    if cpu and program == "kemb":
        limits[str(resource.RLIMIT_CPU)] = (int(cpu), int(cpu))
    request = _request(program, arguments, os.getcwd(), dict(os.environ), limits)
    connection = _send(os.environ["KEMB_CASE_SERVER"], request, streams)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda caught, _: connection.send(bytes([caught])))

    return lambda: _answer(connection)


def ask_server(
    server: str,
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
    cpu_seconds: int,
    kill_after: float | None = None,
) -> dict[str, Any]:
    """One call of kemb as the record of a call, without a client's process.

    :param server: the socket of a `case_server.py`.
    :param cpu_seconds: that it may compute; 0: as many as it likes.
    :param kill_after: seconds after which it is ended by SIGKILL, if it has not ended by itself.
    """
    start = time.monotonic()
    limits = {str(resource.RLIMIT_CPU): (cpu_seconds, cpu_seconds)} if cpu_seconds else {}
    request = _request("kemb", arguments, folder, environment, limits)
    streams = [os.open(os.devnull, os.O_RDONLY), os.memfd_create("out"), os.memfd_create("err")]
    connection = _send(server, request, streams)
    if kill_after is not None and not select.select([connection], [], [], kill_after)[0]:
        connection.send(bytes([signal.SIGKILL]))
    report = _answer(connection)
    connection.close()
    for name, stream in (("out", streams[1]), ("err", streams[2])):
        report[name] = os.pread(stream, MOST_BYTES, 0).decode("utf-8", "replace")
    for stream in streams:
        os.close(stream)
    report.update(arguments=arguments, folder=folder, seconds=time.monotonic() - start)
    return report


def _request(
    program: str, arguments: list[str], folder: str, environment: dict[str, str], limits: Limits
) -> dict[str, Any]:
    mask = os.umask(0)
    os.umask(mask)
    return {
        "program": program,
        "arguments": arguments,
        "folder": folder,
        "environment": environment,
        "limits": limits,
        "umask": mask,
        "user": int(environment.get("KEMB_CASE_USER", os.geteuid())),
    }


def _send(server: str, request: dict[str, Any], streams: list[int]) -> socket.socket:
    message = json.dumps(request).encode()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(server)
    socket.send_fds(connection, [len(message).to_bytes(4, "big")], streams)
    connection.sendall(message)
    return connection


def _answer(connection: socket.socket) -> dict[str, Any]:
    answer = b""
    try:
        while part := connection.recv(4096):
            answer += part
    except ConnectionResetError:  # a signal came when the command had just ended
        pass
    return json.loads(answer) if answer else {"exit": 1, "lost": True}


def _real(_: str, arguments: list[str], streams: list[int]) -> End:
    command = os.environ["KEMB_CASE_REAL"].split()
    child = os.fork()
    if child == 0:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, 64)
        os.execv(command[0], [*command, *arguments])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda caught, _: os.kill(child, caught))

    def end() -> dict[str, Any]:
        _, status, usage = os.wait4(child, 0)
        return {
            "exit": os.waitstatus_to_exitcode(status),
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_kilobytes": usage.ru_maxrss,
        }

    return end


def _pump(readers: list[int]) -> list[str]:
    """Hand both streams on until they end; what passed, as text."""
    passed = {reader: bytearray() for reader in readers}
    targets = dict(zip(readers, (1, 2), strict=True))
    running = set(readers)
    while running:
        for reader in select.select(list(running), [], [])[0]:
            part = os.read(reader, 65536)
            if not part:
                running.discard(reader)
                continue
            if len(passed[reader]) < MOST_BYTES:
                passed[reader] += part
            try:
                while part:
                    part = part[os.write(targets[reader], part) :]
            except OSError:  # the script's own reader has ended, as with `head`
                os.close(reader)
                running.discard(reader)
    return [passed[reader].decode("utf-8", "replace") for reader in readers]


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    main()
