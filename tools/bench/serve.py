"""Puts load on cmd/serve, and on the same CNN in PyTorch behind FastAPI and uvicorn, in turns on the same machine.

    make bench-serve              the latest CNN of chapter 10, 1, 8 and 64 clients, three rounds
    make bench-serve MODEL=NAME   another run of a network of tools/bench/peers.py on MNIST

First both give the same answers for a thousand pictures, to 1e-4. Clients (tools/bench/load) and servers share the
machine's cores. At the end cmd/serve answers 100,000 requests, and its memory is looked at on the way.
"""

import argparse
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import peers
from options import at_least, heed_signals, keep

CLONE = Path(__file__).resolve().parents[2]
BUILD = CLONE / "build"
OUT = BUILD / "bench-serve.json"


def app():
    """The server in PyTorch, as its users write it. uvicorn calls this in each of its workers."""
    import fastapi
    import numpy
    import torch
    from PIL import Image
    torch.set_num_threads(int(os.environ["SERVE_THREADS"]))
    made = peers.PyTorch("CNN, epoch", "eager")
    torch.set_num_threads(int(os.environ["SERVE_THREADS"]))
    weights = peers.read(os.environ["SERVE_MODEL"])
    with torch.no_grad():
        for name, (parameter, convert) in made.variables.items():
            parameter.copy_(torch.from_numpy(numpy.ascontiguousarray(convert(weights[name]))))
    net = made.net.eval()
    names = [str(digit) for digit in range(10)]
    server = fastapi.FastAPI()

    @server.post("/classify")
    async def classify(request: fastapi.Request):
        picture = Image.open(io.BytesIO(await request.body())).convert("L").resize((28, 28))
        x = (torch.from_numpy(numpy.array(picture)).float() / 255 - 0.1307) / 0.3081
        with torch.inference_mode():
            shares = net(x[None, None]).softmax(1)[0].tolist()
        classes = [{"name": name, "probability": share} for name, share in zip(names, shares)]
        return {"classes": sorted(classes, key=lambda c: -c["probability"])}

    return server


class Server:
    """A server that is at work."""

    def __init__(self, kind: str, model: str):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        environment = dict(os.environ)
        if kind == "convbook":
            command = [BUILD / "serve", "-model", model, "-address", f"127.0.0.1:{port}"]
        else:
            cores = len(os.sched_getaffinity(0))
            workers = 1 if kind == "PyTorch, one process" else cores
            environment |= {"SERVE_MODEL": model, "SERVE_THREADS": str(cores // workers)}
            command = [sys.executable, "-m", "uvicorn", "serve:app", "--factory", "--app-dir", Path(__file__).parent,
                       "--port", str(port), "--workers", str(workers), "--no-access-log", "--log-level", "warning"]
        self.process = subprocess.Popen(command, env=environment, cwd=CLONE, stdout=subprocess.DEVNULL)
        for _ in range(600):
            try:
                urllib.request.urlopen(self.url + "/")
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        self.stop()
        raise SystemExit(f"error: {kind} does not serve: see above")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def load(self, *arguments) -> dict:
        done = subprocess.run([BUILD / "load", "-url", self.url + "/classify", *map(str, arguments)], cwd=CLONE,
                              stdout=subprocess.PIPE, text=True)
        if done.returncode:
            ended = self.process.poll()
            self.stop()
            state = "does not answer as it should" if ended is None else f"has ended with status {ended}"
            raise SystemExit(f"error: the server at {self.url} {state}: see above")
        return json.loads(done.stdout or "{}")

    def megabytes(self) -> float:
        """The memory that it takes with its workers."""
        total, left = 0, [self.process.pid]
        while left:
            process = Path("/proc") / str(left.pop())
            pages = int((process / "statm").read_text().split()[1])
            total += pages * os.sysconf("SC_PAGE_SIZE")
            for thread in (process / "task").iterdir():
                left += map(int, (thread / "children").read_text().split())
        return total / 1e6


KINDS = ["convbook", "PyTorch, one process", "PyTorch, a worker a core"]


def latest_cnn() -> str:
    runs = json.loads(subprocess.run([BUILD / "runs", "-json"], check=True, cwd=CLONE, stdout=subprocess.PIPE).stdout)
    for run in runs:
        data = run.get("result", {}).get("data", {})
        if run["state"] == "finished" and run["result"]["network"] == "CNN" and data["name"] == "MNIST" \
                and "permutation" not in data:
            return run["id"]
    raise SystemExit("error: no CNN is trained on MNIST: make run NB=10 does it")


def measure(model: str, clients: list[int], rounds: int, seconds: float) -> dict:
    found = {kind: {n: [] for n in clients} for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            server = Server(kind, model)
            server.load("-answers", Path(folder) / "answers.json")
            server.stop()
        for _ in range(rounds):
            for kind in KINDS:
                server = Server(kind, model)
                server.load("-clients", max(clients), "-seconds", 2)  # to warm up
                for n in clients:
                    found[kind][n].append(server.load("-clients", n, "-seconds", seconds))
                server.stop()
    return {kind: {n: {key: statistics.median(row[key] for row in rows) for key in rows[0]}
                   for n, rows in of.items()} for kind, of in found.items()}


def endure(model: str, requests: int) -> list[dict]:
    """cmd/serve's memory over many requests."""
    server = Server("convbook", model)
    rows = []
    for done in range(0, requests + 1, max(1, requests // 10)):
        if done:
            server.load("-clients", 16, "-seconds", 3600, "-requests", max(1, requests // 10))
        rows.append({"requests": done, "megabytes": round(server.megabytes(), 1)})
        print(f"after {done:7d} requests: {rows[-1]['megabytes']:.1f} MB", flush=True)
    server.stop()
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--model", default="", help="the run")
    options.add_argument("--clients", default="1,8,64")
    options.add_argument("--rounds", type=at_least(0), default=3)
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--requests", type=int, default=100_000)
    given = options.parse_args()
    heed_signals()
    with tempfile.TemporaryDirectory() as folder:
        bench(f"{folder}/model.safetensors", given)


def bench(model: str, given: argparse.Namespace) -> None:
    """Exports the run to a file that is not there yet, and measures."""
    subprocess.run([BUILD / "runs", "-export", model, given.model or latest_cnn()], check=True, cwd=CLONE)
    clients = [int(n) for n in given.clients.split(",")]
    found = measure(model, clients, given.rounds, given.seconds) if given.rounds else {}
    print(f"\n{'':26}{'clients':>8}{'requests/s':>12}{'p50, ms':>10}{'p90, ms':>10}{'p99, ms':>10}")
    for kind, of in found.items():
        for n, row in of.items():
            latencies = "".join(f"{row[key]:10.2f}" for key in ("p50_ms", "p90_ms", "p99_ms"))
            print(f"{kind:26}{n:8d}{row['per_second']:12.0f}{latencies}")
    memory = endure(model, given.requests) if given.requests else []
    keep(OUT, {"load": found, "memory": memory})
    print(f"written to {OUT.relative_to(CLONE)}")


if __name__ == "__main__":
    main()
