"""Streams and graphs that follow CUDA's rules, on the CPU and as late as allowed.

The stream that begins is at once; what is queued on others runs when it waits for them,
and not before, the last stream first. A capture records steps without taking them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from dmtheory.training.images.captured import CapturedRunner
from dmtheory.training.images.lane import BatchLoss, Lane
from dmtheory.training.images.stock import Stock


@dataclass(eq=False)
class Stream:
    """A queue, and whether it may be used since it last waited for the main one."""

    cuda: "PretendedCuda"
    queue: list[Callable[[], None]] = field(default_factory=list)
    behind: bool = True
    workspaces: set["Stream"] = field(default_factory=set)

    def wait_stream(self, other: "Stream") -> None:
        if self is self.cuda.main:
            other.drain()
            other.behind = True
        else:
            self.behind = False
            if self.cuda.recording is not None:
                self.cuda.recording.forked.add(self)
        if self.cuda.recording is not None:
            self.cuda.recording.forked.discard(other)

    def drain(self) -> None:
        for work in self.queue:
            work()
        self.queue.clear()
        self.workspaces.clear()


class Graph:
    """What was recorded, and on which streams."""

    def __init__(self, cuda: "PretendedCuda") -> None:
        self.cuda = cuda
        self.steps: list[tuple[Lane, bool]] = []
        self.origin: Stream | None = None
        self.forked: set[Stream] = set()
        self.workspaces: set[Stream] = set()

    def replay(self) -> None:
        cuda = self.cuda
        assert cuda.recording is None, "a replay inside of a capture"
        if cuda.current is cuda.main:
            assert not any(stream.queue for stream in cuda.streams)
            self.take()
            return
        assert not cuda.current.behind, "a stream that does not wait for what it needs"
        for other in cuda.streams:
            if other is not cuda.current:
                shared = other.workspaces & self.workspaces
                assert not shared, "graphs side by side share a workspace"
        cuda.current.workspaces |= self.workspaces
        cuda.current.queue.append(self.take)

    def take(self) -> None:
        self.cuda.replays += 1
        for lane, plain in reversed(self.steps):
            self.cuda.replayed(lane, plain)


class PretendedCuda:
    """Takes the place of what `captured` uses of torch.cuda, and of `Lane.step`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.streams: list[Stream] = []
        self.main = self.current = Stream(self, behind=False)
        self.capturing = Stream(self, behind=False)
        self.recording: Graph | None = None
        self.replays = 0
        self.step = Lane.step
        self.replayed = lambda lane, plain: self.step(lane, plain=plain)
        for name, value in {
            "Stream": self.make_stream,
            "CUDAGraph": lambda: Graph(self),
            "graph": self.graph,
            "stream": self.stream,
            "current_stream": lambda: self.current,
            "device": nullcontext,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        cuda = self

        def step(lane: Lane, *, plain: bool) -> None:
            if cuda.recording is None:
                assert not cuda.current.behind
                cuda.step(lane, plain=plain)
                return
            reached = {cuda.recording.origin, *cuda.recording.forked}
            assert cuda.current in reached, "a stream that is not captured"
            cuda.recording.steps.append((lane, plain))
            cuda.recording.workspaces.add(cuda.current)

        monkeypatch.setattr(Lane, "step", step)

    def make_stream(self, device: object) -> Stream:
        self.streams.append(Stream(self))
        return self.streams[-1]

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    @contextmanager
    def graph(self, graph: Graph, stream: Stream | None = None) -> Iterator[None]:
        graph.origin = stream or self.capturing
        self.recording = graph
        with self.stream(graph.origin):
            yield
        self.recording = None
        if graph.forked - {graph.origin}:
            raise RuntimeError("capture was ended with work that was not joined")


@dataclass(frozen=True)
class Pretended:
    """Captured steps, of which the CPU makes believe."""

    def loss(self, stock: Stock) -> BatchLoss:
        return stock.batch_loss

    def runner(self, lanes: list[Lane]) -> Any:
        return CapturedRunner(lanes)
