"""JupyterLab as `make lab` starts it, for tests."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from execution import UserError

CLONE = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return s.getsockname()[1]


class Lab:
    """JupyterLab, as `make lab` starts it with these options. Its log has the token: nobody else can read it."""

    def __init__(self, log: Path, *make: str, flags: str = "", environment: dict[str, str] | None = None):
        self.log, self.make, self.flags, self.environment = log, make, flags, environment or {}

    def __enter__(self):
        port = free_port()
        flags = f"--no-browser --ServerApp.port_retries=0 {self.flags}"
        if os.geteuid() == 0:
            flags += " --allow-root"
        started = time.monotonic()
        with open(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as log:
            self.process = subprocess.Popen(
                ["make", "--no-print-directory", *self.make, "lab", f"PORT={port}", f"LAB={flags}"], cwd=CLONE,
                start_new_session=True, stdout=log, stderr=log, env={**os.environ, "MAKEFLAGS": "", **self.environment})
        while time.monotonic() < started + 60:
            for path in (CLONE / ".venv" / "run").glob("jpserver-*.json"):
                about = json.loads(path.read_text() or "{}")
                if about.get("port") == port:
                    try:
                        socket.create_connection(("localhost", port), 1).close()
                    except OSError:
                        continue
                    self.seconds = time.monotonic() - started
                    self.about, self.url, self.token = path, about["url"], about["token"]
                    self.port, self.pid = port, about["pid"]
                    return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.__exit__()
        raise UserError(f"JupyterLab did not start: see {self.log}")

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(30)
