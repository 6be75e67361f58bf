"""Steps as captured CUDA graphs: branches of one graph, and one graph a lane.

Nothing here runs without a CUDA device. A replay launches what was captured, on the
tensors that lanes keep in place, so it takes the same operations as `Lane.step`.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from dmtheory.training.images.lane import Lane

# Steps before a capture, in which libraries and the compiler make ready.
_WARM_UP = 3


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
        if graphs is None:
            for lane in lanes:
                lane.run()
            return
        with torch.cuda.device(self.device):
            whole = n_models == len(self.lanes)
            together = min(lane.n_steps for lane in lanes) if whole else 0
            for _ in range(together):
                graphs.joint.replay()
            with self._forked(n_models) as streams:
                for lane, graph, stream in zip(
                    lanes, graphs.single, streams, strict=False
                ):
                    with torch.cuda.stream(stream):
                        for _ in range(lane.n_steps - together):
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
            for lane in self.lanes:
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph):
                    lane.step(plain=plain)
                single.append(graph)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            warnings.warn(
                f"steps could not be captured ({reason}); they are taken one by one",
                RuntimeWarning,
                stacklevel=2,
            )
            return None
        return _Graphs(joint, single)

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
