"""The workers of a sweep: Dask's, in this process or wherever a scheduler has some."""

import contextlib
import os
import re

import trial

from execution import UserError, one_line

TIMEOUT = 10  # seconds that a scheduler has to answer


class Gone(Exception):
    """The scheduler does not answer any more."""


class Connection:
    """A scheduler and its workers."""

    def __init__(self, client, local: bool):
        self.client, self.local = client, local

    def ask(self, question, *arguments, **options):
        """Asks the scheduler something."""
        try:
            return question(*arguments, **options)
        except (OSError, TimeoutError, RuntimeError) as error:
            raise Gone(f"the scheduler does not answer any more ({one_line(error)})") from None

    def listen(self, handler) -> None:
        """Has the handler called with each epoch that a worker tells of."""
        self.ask(self.client.subscribe_topic, trial.TOPIC, lambda event: handler(event[1]))

    def workers(self) -> int:
        return len(self.ask(self.client.nthreads))

    def submit(self, name: str, key: str, order: dict):
        """Hands out a trial. Two sweeps that ask for the same one under the same name get the same one."""
        return self.ask(self.client.submit, trial.train, key, order, key=f"convbook-{name}", retries=1)

    def stop(self, keys: list[str]) -> None:
        with contextlib.suppress(Gone):
            self.ask(self.client.run, trial.stop, keys, on_error="ignore")

    def outcome(self, future) -> tuple[dict | None, str]:
        """What a trial gave, or why it gave nothing."""
        from distributed.scheduler import KilledWorker

        if future.status == "finished":
            return self.ask(future.result, TIMEOUT), ""
        if future.status != "error":
            raise Gone("the scheduler has lost a trial")
        error = self.ask(future.exception, TIMEOUT)
        if isinstance(error, KilledWorker):
            return None, f"its worker died, the last one was {error.last_worker.address}"
        kind = "" if isinstance(error, trial.Failed) else f"{type(error).__name__}: "
        return None, kind + one_line(error)

    def files(self, future, folder: str) -> dict[str, bytes]:
        """The files of the run that a trial left on its worker's disk."""
        where = self.ask(self.client.who_has, [future])
        workers = [address for addresses in where.values() for address in addresses]
        if not workers:
            raise Gone(f"the worker is gone on whose disk the run in {folder} is")
        return self.ask(self.client.run, trial.files, folder, workers=workers[:1])[workers[0]]


def connect(address: str, cores: int):
    """A connection to the scheduler at an address, or to one with workers of its own on this machine."""
    try:
        import distributed
    except ImportError as error:
        raise UserError(f"{error.name} is not installed: run `make .venv/.sweep`") from None
    return there(distributed, address) if address else here(distributed, cores)


@contextlib.contextmanager
def there(distributed, address: str):
    if not re.fullmatch(r"(tcp|tls)://([^\s/:]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}", address):
        raise UserError(f"CLUSTER is the address of a scheduler, such as tcp://host:8786, not {address!r}")
    try:
        client = distributed.Client(address, timeout=TIMEOUT)
    except TypeError:
        raise UserError(f"{address} is encrypted, and Dask's settings name no certificate for it: see "
                        "tools/sweep/README.md, or use a tcp address") from None
    except (OSError, TimeoutError, ValueError, AssertionError):  # the last for a name that nobody has
        raise UserError(f"nobody answers at {address}: start a scheduler there with `make scheduler`") from None
    try:
        yield Connection(client, False)
    finally:
        client.close(TIMEOUT)


@contextlib.contextmanager
def here(distributed, cores: int):
    os.environ["CONVBOOK_CORES"] = str(cores)
    usable = len(os.sched_getaffinity(0))
    workers = max(1, usable // cores) if cores else 1
    # Each trial has processes of its own, its kernel's, so the workers are threads of this one. Processes would listen
    # to ports, by which every user of the machine could have them run programs.
    with distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0", memory_limit=0, silence_logs=50) as local, \
            distributed.Client(local) as client:
        local.sync(close_pages, local)
        yield Connection(client, True)


async def close_pages(local) -> None:
    """Ends the web servers that Dask always starts."""
    for node in (local.scheduler, *local.workers.values()):
        node.http_server.stop()
