"""A memory budget, and the chunks of examples, columns and targets that fit in it."""

from dataclasses import dataclass

from dmtheory.checks import check_at_least

BYTES = 8  # of a number in double precision
# Primal, tangent, cotangent and its tangent of each activation, and temporaries.
_COPIES_OF_ACTIVATIONS = 8
# Numbers of a tile's activations that a processor's cache keeps near.
_NEAR = 2**21
# Columns that share an example's primal pass, where memory is short.
_COLUMNS = 8


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes that one piece of work may take beside its inputs and its result.

    Results are the same to rounding whatever the budget.

    Attributes:
        memory: Bytes, at least 2^20.
    """

    memory: int = 2**30

    def __post_init__(self) -> None:
        check_at_least(self.memory, 2**20, "memory")

    @property
    def numbers(self) -> int:
        """Numbers in double precision that fit."""
        return self.memory // BYTES

    def fits(self, n_numbers: int) -> bool:
        """Return whether that many numbers fit."""
        return n_numbers <= self.numbers

    def rows(self, numbers_a_row: int) -> int:
        """Return how many examples fit, each with so many numbers; at least one."""
        return max(1, self.numbers // max(1, numbers_a_row))

    def tile(
        self, n_rows: int, n_columns: int, entries_a_row: int, *, near: bool = True
    ) -> tuple[int, int]:
        """Return examples and columns that a matrix-vector product takes at a time.

        Args:
            n_rows: Examples.
            n_columns: Columns wanted.
            entries_a_row: Numbers that one example's forward pass keeps.
            near: Whether to keep a tile near the processor, if examples allow.

        Returns:
            Examples and columns; at least one of each.
        """
        pairs = max(1, self.numbers // (_COPIES_OF_ACTIVATIONS * entries_a_row))
        rows = min(n_rows, max(1, pairs // min(n_columns, _COLUMNS)))
        if near:
            pairs = min(pairs, max(rows, _NEAR // entries_a_row))
        return rows, max(1, min(n_columns, pairs // rows))
