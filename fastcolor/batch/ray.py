"""The items of a tree done by the workers of a Ray cluster: one actor for each GPU or core.

Ray tells when a worker has died; another is started then, and given the task. Ray does not tell when nothing can start
any more, since cores may yet become free, so workers are asked for a sign of life all the time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models import named
from ..options.batch import BatchOptions
from ..options.references import Weighted, reference_of
from .items import Item, Result, exists

if TYPE_CHECKING:
    from .worker import Painter

log = logging.getLogger("fastcolor")
_PICTURES_A_TASK = 32
_BEAT, _SILENCE = 10.0, 180.0  # seconds between two signs of life, and without any until a worker or a run is given up
_DEATHS = 3  # of workers, for each item of a task or before a first sign of life, until a run is given up


def on_ray(options: BatchOptions, items: list[Item]) -> Generator[tuple[Item, Result]]:
    """Each item and its result as they come from a cluster's workers. A dead worker's task is another's."""
    try:
        import ray
    except ImportError:
        raise ImportError('ray: the package is missing; pip install "fastcolor[ray]"') from None
    if options.device not in ("auto", "cpu", "cuda"):
        raise ValueError(
            f"device: with --ray must be auto, cpu or cuda, since workers get their GPUs from Ray, got {options.device}"
        )
    options = _anywhere(options)
    logging.getLogger("ray").setLevel(logging.ERROR)  # what goes well is said by the bar and the table
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
        actor = ray.remote(num_cpus=shape.cores, num_gpus=shape.gpus, concurrency_groups={"signs": 1})(_Worker)
        run, pictures = uuid.uuid4().hex, sum(item.kind == "picture" for item in todo) // shape.workers
        with contextlib.closing(
            _Fleet(lambda: actor.remote(options, run, pictures, shape.cores), shape.workers)
        ) as fleet:
            while todo:
                held = []
                for item, result in fleet.do(_tasks(todo, shape.workers)):
                    if result.status == "held":
                        held.append(item)
                    else:
                        yield item, result
                todo = held
                time.sleep(1.0 if todo else 0.0)
    finally:
        if mine:
            ray.shutdown()


@dataclass
class _Task:
    items: list[Item]
    deaths: int = 0  # of workers that were at it


@dataclass(eq=False)
class _Hand:
    """A worker, what it is at, and what is known of its life."""

    worker: Any
    task: _Task | None = None
    result: Any = None
    sign: Any = None  # asked for and not answered yet
    asked: float = 0.0
    heard: float | None = None  # None: it has not started yet

    def ask(self) -> None:
        """Ask for a sign of life, which a worker gives whatever it is at."""
        if self.sign is None and time.monotonic() - self.asked > _BEAT:
            self.asked = time.monotonic()
            self.sign = self.worker.live.options(concurrency_group="signs").remote()

    def begin(self, task: _Task) -> None:
        self.task, self.result = task, self.worker.do.remote(task.items)


@dataclass
class _Fleet:
    """Workers, as many as asked for, of which any may die, or never start, at any time."""

    hire: Callable[[], Any]
    size: int
    _hands: list[_Hand] = field(default_factory=list)
    _stillborn: int = 0  # in a row

    def do(self, tasks: Iterator[list[Item]]) -> Generator[tuple[Item, Result]]:
        """Each item and its result as they come. What a worker was at when it died is given to another.

        Raises:
            ValueError: no worker has been heard of for _SILENCE seconds, or they die again and again.
        """
        import ray

        todo = deque(map(_Task, tasks))
        heard = time.monotonic()
        while todo or any(hand.task for hand in self._hands):
            self._hands += [_Hand(self.hire()) for _ in range(self.size - len(self._hands))]
            for hand in self._hands:
                hand.ask()
                if todo and hand.heard and not hand.task:
                    hand.begin(todo.popleft())
            awaited = [one for hand in self._hands for one in (hand.result, hand.sign) if one is not None]
            ready = set(ray.wait(awaited, num_returns=len(awaited), timeout=0)[0])
            ready = ready or set(ray.wait(awaited, timeout=_BEAT)[0])
            for hand in list(self._hands):
                try:
                    if hand.sign in ready:
                        ray.get(hand.sign)
                        heard = hand.heard = time.monotonic()
                        hand.sign, self._stillborn = None, 0
                    if hand.task and hand.result in ready:
                        results = ray.get(hand.result)
                        heard = hand.heard = time.monotonic()
                        hand.task = hand.result = None
                        yield from results
                except ray.exceptions.RayActorError as error:
                    self._bury(hand, todo, error)
                else:
                    if hand.task and hand.heard and time.monotonic() - hand.heard > _SILENCE:
                        self._bury(hand, todo, None)
            if time.monotonic() - heard > _SILENCE:
                free = ray.available_resources()
                raise ValueError(
                    f"ray: no worker has started or been heard of for {_SILENCE:.0f} s; the cluster has "
                    f"{free.get('CPU', 0):g} cores and {free.get('GPU', 0):g} GPUs free"
                )

    def _bury(self, hand: _Hand, todo: deque[_Task], error: Exception | None) -> None:
        """Take its task back from a worker that is dead or as good as dead."""
        self._let_go(hand)
        if hand.task:
            hand.task.deaths += 1
            todo.appendleft(hand.task)
        self._stillborn += hand.heard is None
        if self._stillborn >= _DEATHS * self.size or (hand.task and hand.task.deaths > _DEATHS * len(hand.task.items)):
            words = " ".join(str(error).split())[-300:] if error else "no sign of life"
            raise ValueError(f"ray: workers die again and again, the last one so: {words}")

    def _let_go(self, hand: _Hand) -> None:
        import ray

        self._hands.remove(hand)
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(hand.worker)

    def close(self) -> None:
        """End all workers, whatever they are at."""
        for hand in list(self._hands):
            self._let_go(hand)


def _anywhere(options: BatchOptions) -> BatchOptions:
    """The options with whole paths: workers have other current folders."""

    def whole(value: Any) -> Any:
        return os.path.abspath(value) if isinstance(value, (str, os.PathLike)) else value

    def whole_weights(name: str) -> str:
        return name if name in named.names() else whole(name)

    members = named.members(options.weights)
    weights = whole_weights(members[0][0])
    if len(members) > 1:
        weights = "+".join(f"{whole_weights(name)}*{Decimal(share):f}" for name, share in members)
    return replace(
        options,
        src=Path(whole(options.src)),
        dst=Path(whole(options.dst)),
        weights=weights,
        **{name: whole(getattr(options, name)) for name in ("hints", "chroma_from", "chroma_to")},
        references=tuple(Weighted(whole(one), weight) for one, weight in map(reference_of, options.references)),
        key_frames=tuple(map(whole, options.key_frames)),
    )


def _connect(address: str) -> None:
    import ray

    host, _, port = address.removeprefix("ray://").rpartition(":")
    stop = signal.getsignal(signal.SIGTERM)
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
    finally:
        # Ray puts a handler of its own there, which ends this process without a word of what is done.
        if stop is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, stop)


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
    """A process of the cluster. Nothing heavy is done before its first task, so that it is soon heard of."""

    def __init__(self, options: BatchOptions, run: str, pictures: int, cores: int) -> None:
        self._options, self._run, self._pictures, self._cores = options, run, pictures, cores
        self._said: list[str] = []
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: self._said.append(record.getMessage())  # type: ignore[method-assign]
        log.addHandler(handler)
        log.propagate = False
        self._painter: Painter | None = None

    def live(self) -> None:
        """Nothing, but only a worker that lives comes to the end of it."""

    def do(self, items: list[Item]) -> list[tuple[Item, Result]]:
        return [(item, self._one(item)) for item in items]

    def _one(self, item: Item) -> Result:
        self._said.clear()
        try:
            self._painter = self._painter or self._start()
        except (ValueError, OSError, ImportError) as error:
            return Result("fatal", str(error))
        return replace(self._painter(item), warnings=tuple(self._said))

    def _start(self) -> Painter:
        import torch

        from .worker import Painter

        torch.set_num_threads(max(1, self._cores))
        return Painter(self._options, self._run, self._pictures, progress=False)
