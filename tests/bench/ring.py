"""Market ticks between two processes: the ring beside multiprocessing's queues and iceoryx2.

One message is 64 bytes. For the delay the producer sends one every 25 us, and the consumer compares
its clock with the time in the message (CLOCK_MONOTONIC is one for all processes); whatever disturbs
either process is in the figures. For the rate the producer sends as fast as it can, and nothing may
be lost: the ring and iceoryx2 have room for everything, the queues block. All take turns, so that a
busy moment of the machine hits all; with two processors or more, each side has its own.
"""

import ctypes
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from strongroom_host.ring.pinning import pin
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.tick import RECORD, SIZE
from strongroom_host.ring.waiting import Wait
from strongroom_host.ring.writer import RingWriter

__all__ = ["rows"]

PACE_NS = 25_000
ROUNDS = 4
RATE_COUNT = 1 << 16
END = 2**64 - 1
CONTEXT = multiprocessing.get_context("spawn")


class Producer(Protocol):
    """One end of a transport: sends the number in a message of 64 bytes."""

    def send(self, number: int) -> None: ...
    def close(self) -> None: ...


class Ring:
    """The ring, with one way of waiting at the other end."""

    def __init__(self, name: str, slots: int) -> None:
        self._writer = RingWriter.create(name, slots=slots)
        self._publish = self._writer.publish

    def send(self, number: int) -> None:
        self._publish(1, 1, 2, 0, 1, 1, 7, 55_000_000, 100_000_000, number, number, 7)

    def close(self) -> None:
        self._writer.close()


class Queue:
    """A queue of multiprocessing, given 64 bytes."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def send(self, number: int) -> None:
        fields = (number, number, 55_000_000, 100_000_000, 1, 1, 7, 1, 1, 2, 0, 7)
        self._queue.put(RECORD.pack(7, *fields))

    def close(self) -> None:
        if hasattr(self._queue, "join_thread"):
            self._queue.close()
            self._queue.join_thread()


class Iceoryx:
    """iceoryx2's publish-subscribe, by its shortest way from Python."""

    def __init__(self, name: str, room: int) -> None:
        self._node, service = iceoryx_service(name, room)
        builder = service.publisher_builder()
        self._publisher = builder.create()
        self._tick = tick_type()()
        self._buffer = memoryview(self._tick).cast("B")

    def send(self, number: int) -> None:
        fields = (number, number, 55_000_000, 100_000_000, 1, 1, 7, 1, 1, 2, 0, 7)
        RECORD.pack_into(self._buffer, 0, 7, *fields)
        self._publisher.send_copy(self._tick)

    def close(self) -> None:
        self._publisher.delete()


def tick_type() -> Any:
    """Returns a structure of 64 bytes for iceoryx2."""
    fields = [("words", ctypes.c_uint64 * 8)]
    return type("Tick64", (ctypes.Structure,), {"_fields_": fields})


def iceoryx_service(name: str, room: int) -> tuple[Any, Any]:
    """Opens the service at either end; the node has to be kept."""
    iceoryx2 = import_module("iceoryx2")
    iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
    folder = Path(os.environ["STRONGROOM_RING_DIR"])
    config = iceoryx2.config.default()
    config.global_cfg.prefix = iceoryx2.FileName.new(f"{folder.name}_")
    config.global_cfg.root_path = iceoryx2.Path.new(str(folder / "iceoryx2"))
    node = iceoryx2.NodeBuilder.new().config(config).create(iceoryx2.ServiceType.Ipc)
    builder = node.service_builder(iceoryx2.ServiceName.new(name)).publish_subscribe(tick_type())
    return node, builder.subscriber_max_buffer_size(room).open_or_create()


def ring_numbers(name: str, wait: str) -> Iterator[int]:
    """Yields the numbers that come over a ring; in batches if `wait` says so."""
    how = Wait(wait.removesuffix(" many"))
    with RingReader.attach(name, wait=how) as reader:
        yield 0
        if not wait.endswith("many"):
            while True:
                tick = reader.next()
                if tick is not None:
                    yield int.from_bytes(tick[8:16], "little")
        while True:
            ticks = reader.poll_many()
            if ticks is not None:
                for at in range(8, len(ticks), SIZE):
                    yield int.from_bytes(ticks[at : at + 8], "little")


def queue_numbers(queue: Any) -> Iterator[int]:
    """Yields the numbers that come through a queue."""
    yield 0
    while True:
        yield int.from_bytes(queue.get()[8:16], "little")


def iceoryx_numbers(name: str, room: int) -> Iterator[int]:
    """Yields the numbers that come through iceoryx2."""
    node, service = iceoryx_service(name, room)
    subscriber = service.subscriber_builder().buffer_size(room).create()
    yield 0
    while True:
        sample = subscriber.receive()
        if sample is not None:
            number = ctypes.c_uint64.from_address(sample.payload_ptr + 8).value
            sample.delete()
            if number == END:
                subscriber.delete()
                del service, node
            yield number


def consume(kind: str, arguments: tuple[Any, ...], results: Connection, folder: str) -> None:
    """Runs in the other process: receives until END and sends back what was measured.

    What is measured are the delays of numbers that are times, and otherwise when the last came.
    """
    os.environ["STRONGROOM_RING_DIR"] = folder
    pin_to(1)
    receive: dict[str, Callable[..., Iterator[int]]] = {
        "ring": ring_numbers,
        "queue": queue_numbers,
        "iceoryx2": iceoryx_numbers,
    }
    numbers = receive[kind](*arguments)
    next(numbers)
    results.send("ready")
    clock, delays = time.monotonic_ns, []
    received = 0
    for number in numbers:
        if number == END:
            break
        delays.append(clock() - number)
        received += 1
    results.send((delays, clock(), received))


def pin_to(cpu: int) -> None:
    """Gives a side its processor where there are two."""
    if (os.cpu_count() or 1) > 1:
        pin(cpu)


@contextmanager
def connected(
    kind: str, arguments: tuple[Any, ...], make: Callable[[], Producer], folder: str
) -> Iterator[tuple[Producer, Connection]]:
    """Yields a producer whose consumer, in another process, is ready."""
    producer = make()
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=consume, args=(kind, arguments, theirs, folder), daemon=True)
    process.start()
    try:
        if not ours.poll(60) or ours.recv() != "ready":
            raise RuntimeError(f"the consumer of {kind} did not start")
        yield producer, ours
    finally:
        process.join(10)
        if process.is_alive():
            process.kill()
        producer.close()


def delays_of(producer: Producer, results: Connection, count: int) -> list[int]:
    """Sends messages at an even pace; returns their delays in ns."""
    clock = time.monotonic_ns
    due = clock() + 50_000_000
    for _ in range(count):
        while clock() < due:
            pass
        producer.send(clock())
        due = max(due + PACE_NS, clock())
    producer.send(END)
    if not results.poll(60):
        raise RuntimeError("the consumer lost the end")
    delays: list[int] = results.recv()[0]
    return delays[len(delays) // 10 :]


def rate_of(producer: Producer, results: Connection, count: int) -> float:
    """Sends as fast as it can; returns messages per second from the first sent to the last got."""
    begun = time.monotonic_ns()
    for number in range(count):
        producer.send(number)
    producer.send(END)
    if not results.poll(120):
        raise RuntimeError("the consumer lost the end")
    _, ended, received = results.recv()
    if received != count:
        raise RuntimeError(f"{count - received} of {count} messages were lost")
    return float(count / ((ended - begun) / 1e9))


Transport = Callable[[int], tuple[str, tuple[Any, ...], Callable[[], Producer]]]


def transports(run: str) -> dict[str, Transport]:
    """Returns the ways of sending; each is asked for how many messages it needs room."""

    def ring(wait: str) -> Transport:
        def at(room: int) -> tuple[str, tuple[Any, ...], Callable[[], Producer]]:
            slots = max(512, 1 << room.bit_length())
            return "ring", ("bench", wait), lambda: Ring("bench", slots)

        return at

    def queue(kind: str) -> Transport:
        def at(room: int) -> tuple[str, tuple[Any, ...], Callable[[], Producer]]:
            made = getattr(CONTEXT, kind)()
            return "queue", (made,), lambda: Queue(made)

        return at

    def iceoryx(room: int) -> tuple[str, tuple[Any, ...], Callable[[], Producer]]:
        name, size = f"strongroom-bench-{run}-{room}", max(512, room + 1)
        return "iceoryx2", (name, size), lambda: Iceoryx(name, size)

    found: dict[str, Transport] = {
        "ring, in batches": ring("yield many"),
        "ring, spinning": ring("spin"),
        "ring, yielding": ring("yield"),
        "ring, sleeping": ring("block"),
        "multiprocessing.Queue": queue("Queue"),
        "multiprocessing.SimpleQueue": queue("SimpleQueue"),
    }
    if sys.platform == "linux":
        found["iceoryx2, spinning"] = iceoryx
    return found


def rows(count: int = 4_000) -> list[dict[str, object]]:
    """Returns the table: delays in us, costs in us, rates in messages per second."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    before = os.environ.get("STRONGROOM_RING_DIR")
    with tempfile.TemporaryDirectory(dir=shared_memory(), prefix="ring-bench-") as folder:
        os.environ["STRONGROOM_RING_DIR"] = folder
        pin_to(0)
        try:
            return [*costs(), *latencies(count, folder), *rates(folder)]
        finally:
            if allowed is not None:
                os.sched_setaffinity(0, allowed)
            for left in Path(shared_memory() or folder).glob(f"{Path(folder).name}_*"):
                left.unlink()  # iceoryx2 keeps a file per machine and prefix
            os.environ.pop("STRONGROOM_RING_DIR", None)
            if before is not None:
                os.environ["STRONGROOM_RING_DIR"] = before


def costs() -> list[dict[str, object]]:
    """Returns what each call costs by itself, in one process."""
    batches, batch = 400, 64
    published: list[float] = []
    polled: list[float] = []
    batched: list[float] = []
    fields = (1, 1, 2, 0, 1, 1, 7, 55_000_000, 100_000_000, 10**18, 10**18, 7)
    with (
        RingWriter.create("costs") as writer,
        RingReader.attach("costs") as one,
        RingReader.attach("costs") as many,
    ):
        for _ in range(batches):
            published.append(per_call(lambda: writer.publish(*fields), batch))
            polled.append(per_call(one.poll, batch))
            start = time.perf_counter_ns()
            while many.poll_many() is not None:
                pass
            batched.append((time.perf_counter_ns() - start) / batch)
    names = ("publish a tick", "poll a tick", "poll a tick among 64")
    return [
        {"name": name, "unit": "us", "value": round(statistics.median(times) / 1e3, 3)}
        for name, times in zip(names, (published, polled, batched), strict=True)
    ]


def per_call(call: Callable[[], object], times: int) -> float:
    """Returns how long one of several calls takes, in ns."""
    start = time.perf_counter_ns()
    for _ in range(times):
        call()
    return (time.perf_counter_ns() - start) / times


def latencies(count: int, folder: str) -> list[dict[str, object]]:
    """Returns the delays of each transport, in us."""
    taken: dict[str, list[int]] = {}
    for turn in range(ROUNDS):
        for name, transport in transports(f"{os.getpid()}-{turn}").items():
            if name == "ring, in batches":
                continue
            kind, arguments, make = transport(0)
            with connected(kind, arguments, make, folder) as (producer, results):
                taken.setdefault(name, []).extend(delays_of(producer, results, count))
    table = [row(f"one way, {name}", sorted(times)) for name, times in taken.items()]
    peer = next((one for one in table if "iceoryx2" in str(one["name"])), table[-1])
    for one in table[:2]:
        value, own = peer["p50"], one["p50"]
        if isinstance(value, float) and isinstance(own, float):
            ratio = round(value / own, 2) if own else None
            one.update(peer=str(peer["name"]), peer_value=value, ratio=ratio)
    return table


def rates(folder: str) -> list[dict[str, object]]:
    """Returns how many messages per second arrive without loss."""
    ways = transports(f"{os.getpid()}-rate")
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name in ways.keys() - {"ring, spinning", "ring, sleeping"}:
            kind, arguments, make = ways[name](RATE_COUNT)
            with connected(kind, arguments, make, folder) as (producer, results):
                found.setdefault(name, []).append(rate_of(producer, results, RATE_COUNT))
    return [
        {"name": f"rate, {name}", "unit": "1/s", "value": round(statistics.median(times))}
        for name, times in sorted(found.items(), key=lambda one: -statistics.median(one[1]))
    ]


def row(name: str, ordered: list[int]) -> dict[str, object]:
    """Returns one row of the table from sorted times in ns."""
    at = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "p9999": 0.9999}
    cut = {
        key: round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e3, 2)
        for key, share in at.items()
    }
    return {"name": name, "unit": "us", **cut}


def shared_memory() -> str | None:
    """Returns the folder that is memory, where there is one."""
    return "/dev/shm" if sys.platform == "linux" else None  # noqa: S108


if __name__ == "__main__":
    for line in rows():
        sys.stdout.write(f"{line}\n")
