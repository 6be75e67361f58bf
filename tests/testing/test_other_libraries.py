"""Other libraries through the contracts: docs/peers.md says what is found, and why.

Each is tried on what fails as well as on what holds, so that a mended peer is noticed.
"""

import os
from collections.abc import Iterator

import pytest
import torch
from peers.peers import PEERS, table_of
from samples import unchecked

from dmtheory.testing import Profile

# What peers and their dependencies do with what is deprecated is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")
# Tried in every run, on few cases; all are tried on more in long tests.
QUICK = {"scikit-learn LinearRegression", "curvlinops GGNLinearOperator"}
FEW = Profile(examples=3, same=True)


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Peers set the number of threads; the next test has ours again."""
    monkeypatch.setitem(os.environ, "TQDM_DISABLE", "1")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", sorted(QUICK))
def test_a_peer_is_known_at_a_glance(name: str) -> None:
    check_as_said(name, FEW)


@pytest.mark.long
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_is_as_the_document_says(name: str) -> None:
    check_as_said(name)


def check_as_said(name: str, tried: Profile | None = None) -> None:
    peer = PEERS[name]
    pytest.importorskip(
        peer.library, reason=f"needs {peer.library}", exc_type=ImportError
    )
    with unchecked():
        table = table_of(peer, tried)
    assert {outcome.property for outcome in table.failed} == peer.fails, str(table)
