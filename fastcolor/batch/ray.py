"""The items of a tree done by the workers of a Ray cluster, through Ray Data: one actor for each GPU or core."""

from __future__ import annotations

import functools
import logging
import os
import pickle
import queue
import socket
import threading
import time
import uuid
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..options.batch import BatchOptions
from .items import Item, Result, exists

if TYPE_CHECKING:
    from .worker import Painter

log = logging.getLogger("fastcolor")
_PICTURES_A_TASK = 32
_BEAT, _SILENCE = 10.0, 180.0  # seconds between two signs of life, and without any until a run is given up


def on_ray(options: BatchOptions, items: list[Item]) -> Generator[tuple[Item, Result]]:
    """Each item and its result as they come from a cluster's workers. A dead worker's task is another's."""
    try:
        import ray
        import ray.data
    except ImportError:
        raise ImportError('ray: the package is missing; pip install "fastcolor[ray]"') from None
    if options.device not in ("auto", "cpu", "cuda"):
        raise ValueError(
            f"device: with --ray must be auto, cpu or cuda, since workers get their GPUs from Ray, got {options.device}"
        )
    if os.path.exists(options.weights):
        options = replace(options, weights=os.path.abspath(options.weights))  # workers have other current folders
    for name in ("ray", "ray.data"):  # what goes well is said by the bar and the table
        logging.getLogger(name).setLevel(logging.ERROR)
    todo = []
    for item in items:  # here, so that workers are started for what there is to do alone
        if exists(item, options):
            yield item, Result("exists")
        else:
            todo.append(item)
    if not todo:
        return
    mine = not ray.is_initialized()
    if mine:
        _connect(options.ray or "auto")
    try:
        shape = shape_of(ray.nodes(), options.device, options.workers)
        if shape.gpus and options.device == "auto":
            options = replace(options, device="cuda")
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        pool = ray.data.ActorPoolStrategy(size=shape.workers, max_tasks_in_flight_per_actor=1)
        run = uuid.uuid4().hex
        roll = _roll(run)
        while todo:
            rows = [{"items": pickle.dumps(task)} for task in _tasks(todo, shape.workers)]
            results = ray.data.from_items(rows, override_num_blocks=len(rows)).flat_map(
                _Worker,
                fn_constructor_args=(options, run, shape.cores),
                compute=pool,
                num_cpus=shape.cores,
                num_gpus=shape.gpus,
            )
            todo = []
            for row in _watched(results.iter_rows(), roll):
                item, result = pickle.loads(row["result"])
                if result.status == "held":
                    todo.append(item)
                else:
                    yield item, result
            time.sleep(1.0 if todo else 0.0)
    finally:
        if mine:
            ray.shutdown()


def _roll(run: str) -> Any:
    """A place in the cluster where the workers of a run say that they live. It takes no core of theirs."""
    import ray

    class Roll:
        def __init__(self) -> None:
            self._heard = time.monotonic()

        def live(self) -> None:
            self._heard = time.monotonic()

        def silence(self) -> float:
            return time.monotonic() - self._heard

    return ray.remote(num_cpus=0)(Roll).options(name=f"fastcolor-{run}").remote()


def _watched(rows: Iterator[dict[str, Any]], roll: Any) -> Generator[dict[str, Any]]:
    """The rows as they come, as long as there is a worker that lives.

    Ray itself waits for ever for cores that a dead worker or another program holds, and for workers that die at their
    start, time and again.

    Raises:
        ValueError: no worker has been heard of for _SILENCE seconds.
    """
    import ray

    arrived: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def take() -> None:
        try:
            for row in rows:
                arrived.put(("row", row))
            arrived.put(("end", None))
        except BaseException as error:
            arrived.put(("error", error))

    threading.Thread(target=take, name="fastcolor-ray", daemon=True).start()
    while True:
        try:
            kind, value = arrived.get(timeout=_BEAT)
        except queue.Empty:
            try:
                silence = ray.get(roll.silence.remote(), timeout=_SILENCE)
            except (ray.exceptions.RayError, TimeoutError) as error:
                raise ValueError(f"ray: the cluster does not answer any more ({type(error).__name__})") from None
            if silence > _SILENCE:
                free = ray.available_resources()
                raise ValueError(
                    f"ray: no worker has started or been heard of for {_SILENCE:.0f} s; the cluster has "
                    f"{free.get('CPU', 0):g} cores and {free.get('GPU', 0):g} GPUs free"
                ) from None
            continue
        if kind == "end":
            return
        if kind == "error":
            raise value
        yield value


def _connect(address: str) -> None:
    import ray

    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if port.isdigit():
            socket.create_connection((host, int(port)), timeout=10).close()  # Ray itself tries for minutes
        ray.init(
            None if address == "local" else address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"ray: no cluster at {address} ({str(error).splitlines()[0]})") from None


@dataclass(frozen=True)
class Shape:
    """Of the fleet: how many workers, with how many cores and GPUs each."""

    workers: int
    cores: int
    gpus: int


def shape_of(nodes: list[dict[str, Any]], device: str, workers: int | None) -> Shape:
    """One worker for each GPU or core, or so many as asked for, with as many cores each as all of them can have."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    with_gpus = [node for node in alive if node.get("GPU", 0) >= 1]
    if device == "cuda" and not with_gpus:
        raise ValueError("device: the cluster has no GPU, got cuda")
    gpus = 1 if with_gpus and device != "cpu" else 0
    slots = sum(int(node["GPU"]) for node in with_gpus) if gpus else sum(int(node.get("CPU", 0)) for node in alive)
    workers = slots if workers is None else workers
    if not 1 <= workers <= slots:
        raise ValueError(f"workers: the cluster has room for {slots}, got {workers}")

    def room(cores: int) -> int:
        fits = (int(node.get("CPU", 0)) // cores for node in alive)
        if gpus:
            fits = (min(int(node["GPU"]), int(node.get("CPU", 0)) // cores) for node in with_gpus)
        return sum(fits)

    most = max(int(node.get("CPU", 0)) for node in alive)
    return Shape(workers, next((cores for cores in range(most, 0, -1) if room(cores) >= workers), 0), gpus)


def _tasks(items: list[Item], workers: int) -> Iterator[list[Item]]:
    """What a worker is given at a time: a film, or some pictures, few enough that all workers have several turns."""
    size = max(1, min(_PICTURES_A_TASK, len(items) // (4 * workers)))
    pictures = [item for item in items if item.kind == "picture"]
    yield from ([item] for item in items if item.kind == "film")
    yield from (pictures[first : first + size] for first in range(0, len(pictures), size))


class _Worker:
    """A process of the cluster, which Ray starts anew when it dies, and gives the task again."""

    def __init__(self, options: BatchOptions, run: str, cores: int) -> None:
        import torch

        torch.set_num_threads(max(1, cores))
        self._said: list[str] = []
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: self._said.append(record.getMessage())  # type: ignore[method-assign]
        log.addHandler(handler)
        log.propagate = False
        from .worker import Painter

        self._start = functools.partial(Painter, options, run, progress=False)
        threading.Thread(target=self._live, args=(run,), name="fastcolor-live", daemon=True).start()
        self._painter: Painter | None = None

    @staticmethod
    def _live(run: str) -> None:
        """Say from time to time that this worker lives, whatever it is at."""
        import ray

        roll = ray.get_actor(f"fastcolor-{run}")
        while True:
            roll.live.remote()
            time.sleep(_BEAT)

    def __call__(self, row: dict[str, Any]) -> list[dict[str, bytes]]:
        return [{"result": pickle.dumps((item, self._do(item)))} for item in pickle.loads(row["items"])]

    def _do(self, item: Item) -> Result:
        self._said.clear()
        try:
            self._painter = self._painter or self._start()
        except (ValueError, OSError, ImportError) as error:
            return Result("fatal", str(error))
        return replace(self._painter(item), warnings=tuple(self._said))
