"""A `python` that has PyTorch already: commands of the documentation run in forks of one process.

`WarmPython` starts the process; `WarmPython.script` is a shell script to be called as `python`. It sends its arguments,
its folder, its environment and its files 0 to 2 to the process, which forks, runs the program and answers with its exit
code.
"""

import contextlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLIENT = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as there:
    there.connect({address})
    request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(there, [len(request).to_bytes(4, "big")], [0, 1, 2])
    there.sendall(request)
    os._exit(int.from_bytes(there.recv(1) or b"\\1", "big"))
"""


class WarmPython:
    """The process; `with WarmPython(folder) as python:` ends it."""

    def __init__(self, folder: Path) -> None:
        address = folder / "warm"
        self.script = (
            f'#!/bin/sh\nexec "{sys.executable}" -ISc \'{CLIENT.format(address=json.dumps(str(address)))}\' "$@"\n'
        )
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(address)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def __enter__(self) -> "WarmPython":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def serve(address: str) -> None:
    """Import what the scripts import, load the pocket model, and answer."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from fixtures_runs import sharing_pocket

    import unravel_lib.plots  # noqa: F401
    from unravel_lib.models import model

    model.load = sharing_pocket(model.load)  # type: ignore[assignment]
    model.load(device="auto")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        print("ready", flush=True)
        while True:
            client, _ = server.accept()
            if not os.fork():
                server.close()
                answer(client)
            client.close()


def answer(client: socket.socket) -> None:
    """Run one command in a fork of this fork, and send its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, files, *_ = socket.recv_fds(client, 4, 3)
    request = b""
    while len(request) < int.from_bytes(size, "big"):
        request += client.recv(1 << 16)
    arguments, folder, environment = json.loads(request)
    child = os.fork()
    if not child:
        client.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        os._exit(run(arguments))
    _, status = os.waitpid(child, 0)
    client.sendall(bytes([os.waitstatus_to_exitcode(status) & 255]))
    os._exit(0)


def run(arguments: list[str]) -> int:
    """Run `FILE arguments`, `-c CODE arguments` or the code on stdin; returns the exit code."""
    sys.argv = arguments[1:] if arguments[:1] == ["-c"] else arguments
    try:
        if arguments[:1] == ["-c"]:
            sys.argv[0] = "-c"
            exec(compile(arguments[1], "<string>", "exec"), sys.modules["__main__"].__dict__)
        else:
            runpy.run_path(arguments[0], run_name="__main__")
        code: object = 0
    except SystemExit as end:
        code = end.code
    except Exception:  # noqa: BLE001
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    serve(sys.argv[1])
