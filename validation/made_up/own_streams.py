"""Seeds of what one claim alone trains, apart from the laboratory's streams."""

from dmtheory.checks import check_choice
from validation.laboratory import Laboratory

# A suite's seed has a hundred streams; those that claims share are below this one.
_FIRST = 50
_STREAMS = ("unrolled", "masks of a size", "derivative of a size", "every target")
# Streams that a name has: one for each size, say.
_PLACES = 10


def own_seed(laboratory: Laboratory, stream: str, place: int = 0) -> int:
    """Return the experiment seed of a claim's own trainings.

    Args:
        laboratory: Has the suite's seed.
        stream: What is trained.
        place: Which of several sides that are independent of one another.

    Raises:
        ValueError: If there is no such stream, or no such place in it.
    """
    check_choice(stream, _STREAMS, "stream")
    if not 0 <= place < _PLACES:
        raise ValueError(f"place must be in [0, {_PLACES}), got {place}")
    name = _STREAMS.index(stream)
    return 100 * laboratory.seed + _FIRST + _PLACES * name + place
