"""Steps as captured CUDA graphs: branches of one graph, and one graph a lane.

Nothing here runs without a CUDA device. A replay launches what was captured, on the
tensors that lanes keep in place, so it takes the same operations as `Lane.step`. Before
graphs are trusted their steps are held against plain ones on the first models.

References:
    PyTorch's documentation, CUDA semantics, section CUDA Graphs: static inputs, no
    wait of the host, warm-up on a side stream, streams that fork from and join the one
    that is captured. PyTorch issue 193402: graphs captured on one stream share what
    cuBLAS works in.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from dmtheory.training.images.lane import Lane

# Steps before a capture, in which libraries and the compiler make ready.
_WARM_UP = 3
# Steps that are taken both ways, and the difference that other algorithms may make, as
# a share of how far they go.
_COMPARED = 2
_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class _Graphs:
    """One graph with a branch a lane, and a graph of each lane's own."""

    joint: torch.cuda.CUDAGraph
    single: list[torch.cuda.CUDAGraph]


class CapturedRunner:
    """Replays steps of all lanes together while all have steps left, then alone."""

    def __init__(self, lanes: list[Lane]) -> None:
        """Give each lane a stream; nothing is captured yet."""
        self.lanes = lanes
        self.device = lanes[0].stock.device
        self.streams = [torch.cuda.Stream(self.device) for _ in lanes]
        self.graphs: dict[bool, _Graphs | None] = {}
        self.compared: set[tuple[bool, bool]] = set()

    def make_ready(self, plain: set[bool]) -> None:
        """Capture such steps where they have not been; lanes' contents are lost."""
        for kind in sorted(plain - self.graphs.keys()):
            with torch.cuda.device(self.device):
                self.graphs[kind] = self._captured(kind)

    def run(self, n_models: int) -> None:
        """Train the first n_models lanes to the end."""
        lanes = self.lanes[:n_models]
        kinds = {lane.plain for lane in lanes}
        graphs = self.graphs.get(lanes[0].plain) if len(kinds) == 1 else None
        if graphs is None or not self._trusted(graphs, lanes):
            for lane in lanes:
                lane.run()
            return
        whole = n_models == len(self.lanes)
        together = min(lane.n_steps for lane in lanes) if whole else 0
        with torch.cuda.device(self.device):
            for _ in range(together):
                graphs.joint.replay()
            self._replay_alone(graphs, [lane.n_steps - together for lane in lanes])

    def _replay_alone(self, graphs: _Graphs, n_steps: list[int]) -> None:
        """Replay so many steps of each of the first lanes, side by side."""
        with self._forked(len(n_steps)) as streams:
            for n, graph, stream in zip(n_steps, graphs.single, streams, strict=False):
                with torch.cuda.stream(stream):
                    for _ in range(n):
                        graph.replay()

    def _captured(self, plain: bool) -> _Graphs | None:
        """Return the graphs; None, with a warning, where the capture fails."""
        try:
            self._warm_up(plain)
            joint = torch.cuda.CUDAGraph()
            with torch.cuda.graph(joint), self._forked(len(self.lanes)) as streams:
                for lane, stream in zip(self.lanes, streams, strict=True):
                    with torch.cuda.stream(stream):
                        lane.step(plain=plain)
            single = []
            for lane, stream in zip(self.lanes, self.streams, strict=True):
                graph = torch.cuda.CUDAGraph()
                # On its own stream: libraries keep one workspace a stream, and graphs
                # that run side by side must not share one.
                with torch.cuda.graph(graph, stream=stream):
                    lane.step(plain=plain)
                single.append(graph)
        except RuntimeError as error:
            _warn(f"steps could not be captured ({str(error).splitlines()[0]})")
            return None
        return _Graphs(joint, single)

    def _trusted(self, graphs: _Graphs, lanes: list[Lane]) -> bool:
        """Return whether replays go where plain steps do, tried on the first models.

        Graphs that do not are given up, with a warning.
        """
        plain, whole = lanes[0].plain, len(lanes) == len(self.lanes)
        if (plain, whole) in self.compared:
            return True
        n_steps = min(_COMPARED, *(lane.n_steps for lane in lanes))

        def plainly() -> None:
            for lane in lanes:
                for _ in range(n_steps):
                    lane.step(plain=plain)

        def together() -> None:
            for _ in range(n_steps):
                graphs.joint.replay()

        def alone() -> None:
            self._replay_alone(graphs, [n_steps] * len(lanes))

        with torch.cuda.device(self.device):
            expected = _moves(lanes, plainly)
            ways = (together, alone) if whole else (alone,)
            for way in ways:
                if not _near(_moves(lanes, way), expected):
                    _warn("captured steps do not go where plain ones do")
                    self.graphs[plain] = None
                    return False
        self.compared.add((plain, whole))
        return True

    def _warm_up(self, plain: bool) -> None:
        """Take steps on each lane's stream, so that nothing is made in a capture."""
        with self._forked(len(self.lanes)) as streams:
            for lane, stream in zip(self.lanes, streams, strict=True):
                with torch.cuda.stream(stream):
                    for _ in range(_WARM_UP):
                        # There may be fewer steps in the plan than taken here.
                        lane.clock.zero_()
                        lane.step(plain=plain)
                    lane.clock.zero_()

    @contextmanager
    def _forked(self, n_lanes: int) -> Iterator[list[torch.cuda.Stream]]:
        """Let the lanes' streams begin after the current one, and it go on after."""
        main, streams = torch.cuda.current_stream(), self.streams[:n_lanes]
        for stream in streams:
            stream.wait_stream(main)
        yield streams
        for stream in streams:
            main.wait_stream(stream)


def _moves(lanes: list[Lane], steps: Callable[[], None]) -> list[torch.Tensor]:
    """Return how far each lane's tensors go by some steps, and bring them back."""
    before = [[tensor.clone() for tensor in lane.moving()] for lane in lanes]
    steps()
    found = []
    for lane, kept in zip(lanes, before, strict=True):
        pairs = list(zip(lane.moving(), kept, strict=True))
        found += [(tensor - start).double() for tensor, start in pairs]
        for tensor, start in pairs:
            tensor.copy_(start)
    return found


def _near(found: list[torch.Tensor], expected: list[torch.Tensor]) -> bool:
    """Return whether moves are the same but for rounding; no number is no move."""
    pairs = [
        (one.nan_to_num(), other.nan_to_num())
        for one, other in zip(found, expected, strict=True)
    ]
    return all(
        bool((one - other).norm() <= _TOLERANCE * other.norm()) for one, other in pairs
    )


def _warn(what: str) -> None:
    warnings.warn(f"{what}; they are taken one by one", RuntimeWarning, stacklevel=3)
