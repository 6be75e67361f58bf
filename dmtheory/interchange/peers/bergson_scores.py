"""What bergson scores: `scores.bin`, pairs of a score and whether it was written."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from dmtheory.attribution import Attribution
from dmtheory.estimand import Estimand, Point
from dmtheory.identity import numbered
from dmtheory.interchange.files.npy import open_npy
from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.files.texts import read_json
from dmtheory.interchange.peers.bergson_config import commands_of, option_of

_NUMBERS = {"float16": "<f2", "float32": "<f4", "float64": "<f8", "bfloat16": "<u2"}
PAIR = ("score", "written")
_MOST = 2**40
# Bytes of the file that are read at a time.
_BYTES = 2**25


def load_bergson_scores(
    folder: Location | Place,
    *,
    problem: str,
    output: str = "loss",
    higher_is_better: bool | None = None,
) -> Attribution:
    r"""Load a folder of scores: `info.json` and `scores.bin`.

    Columns are queries. Scores of MAGIC are d(query's loss)/dw_i and taken as such.
    Others, of gradients and their inner products, are of any scale; where a high score
    means that the example lowers the query's loss (bergson's `higher_is_better`) they
    are negated. A positive score raises the loss, always. Scores of tokens are summed
    over each example's.

    Args:
        folder: The folder. Who made it is read from `config.yaml` in it or above it.
        problem: Name of the problem.
        output: The output function.
        higher_is_better: The sign, where no configuration says it.

    Returns:
        Scores [train, queries].

    Raises:
        ValueError: If a file is missing or damaged, scores were never written, the sign
            is not known or stated against the configuration, or tokens of one row
            belong to several examples.
    """
    root = Place.of(folder)
    info = read_json(root / "info.json")
    scores = _stored(root, info)
    if info.get("attribute_tokens"):
        scores = _summed(root, scores, info)
    derivative, negated = _meaning(root, higher_is_better)
    n_train, n_queries = scores.shape
    return Attribution(
        scores=torch.from_numpy(-scores if negated else scores),
        estimand=Estimand(
            quantity="response derivative" if derivative else "gradient product",
            point=Point("weights", 1.0),
            output=output,
            normalisation="unknown",
            step_policy="unknown",
            problem=problem,
        ),
        train_labels=numbered("example", n_train),
        target_labels=numbered("target", n_queries),
        n_train=n_train,
        method="scores of bergson" + (", negated" if negated else ""),
    )


def _meaning(root: Place, stated: bool | None) -> tuple[bool, bool]:
    """Return whether scores are derivatives, and whether they are to be negated."""
    for config in (root / "config.yaml", root.parent / "config.yaml"):
        if not config.is_file():
            continue
        commands = commands_of(config)
        scoring = option_of(commands, "score_cfg")
        if isinstance(scoring, dict):
            # Unless it says otherwise, a high score is a proponent's.
            said = bool(scoring.get("higher_is_better", True))
            if stated not in (None, said):
                raise ValueError(
                    f"higher_is_better must be {said} as {config} says, got {stated}"
                )
            return False, said
        if any(name == "magic" for name, _ in commands):
            if stated:
                raise ValueError(
                    f"higher_is_better must be False for MAGIC's derivatives ({config})"
                )
            return True, False
    if stated is None:
        raise ValueError(
            f"higher_is_better must be stated: no config.yaml of {root} says whether a "
            "high score lowers the loss"
        )
    return False, stated


def _stored(root: Place, info: Any) -> Float[np.ndarray, "rows queries"]:
    """Return the scores of every row of the file as float64."""
    place = root / "scores.bin"
    n_rows, n_scores, layout = _layout(info, str(root / "info.json"))
    size, stated = place.size(), n_rows * layout.itemsize
    if size != stated:
        raise ValueError(
            f"{place} must have {stated} bytes as info.json says, got {size}"
        )
    scores = np.empty((n_rows, n_scores))
    step = max(1, _BYTES // layout.itemsize)
    for start in range(0, n_rows, step):
        stop = min(start + step, n_rows)
        content = place.read(start * layout.itemsize, stop * layout.itemsize)
        block = np.frombuffer(content, dtype=layout)
        for k in range(n_scores):
            if not (block[f"written_{k}"] == 1).all():
                row = start + int(np.argmin(block[f"written_{k}"] == 1))
                raise ValueError(
                    f"{place} must hold finished scores, got one of row {row} and "
                    f"query {k} that was never written"
                )
            scores[start:stop, k] = _numbers(block[f"score_{k}"])
    if not np.isfinite(scores).all():
        row, k = np.argwhere(~np.isfinite(scores))[0]
        raise ValueError(
            f"{place} must hold finite scores, got {scores[row, k]} in row {row}, "
            f"query {k}"
        )
    return scores


def _layout(info: Any, name: str) -> tuple[int, int, np.dtype[Any]]:
    """Return rows, queries and the type of a row, none of which is trusted."""
    try:
        n_rows, n_scores, stated = info["num_rows"], info["num_scores"], info["dtype"]
        parts = [stated[key] for key in ("names", "formats", "offsets", "itemsize")]
    except (KeyError, TypeError):
        raise ValueError(
            f"{name} must state num_rows, num_scores and dtype with names, formats, "
            "offsets and itemsize"
        ) from None
    counts = (n_rows, n_scores, parts[3])
    if any(type(n) is not int or not 0 < n < _MOST for n in counts):
        raise ValueError(f"{name} must count rows, scores and bytes, got {counts}")
    wanted = [f"{kind}_{k}" for k in range(n_scores) for kind in PAIR]
    names, formats, offsets, itemsize = parts
    kinds = set(formats[::2]) if isinstance(formats, list) else set()
    if (
        names != wanted
        or len(kinds) != 1
        or not kinds <= set(_NUMBERS)
        or formats[1::2] != ["bool"] * n_scores
    ):
        raise ValueError(
            f"{name} must state pairs score_k, written_k of a float and a bool"
        )
    number = np.dtype(_NUMBERS[kinds.pop()])
    # Each pair begins at the next power of two of its bytes; rows at multiples of 8.
    pair = 1 << number.itemsize.bit_length()
    expected = [k * pair + at for k in range(n_scores) for at in (0, number.itemsize)]
    if offsets != expected or itemsize != -(-n_scores * pair // 8) * 8:
        raise ValueError(f"{name} must place pairs {pair} bytes apart, rows at 8")
    return (
        n_rows,
        n_scores,
        np.dtype({
            "names": names,
            "formats": [number, np.dtype("u1")] * n_scores,
            "offsets": offsets,
            "itemsize": itemsize,
        }),
    )


def _numbers(stored: np.ndarray) -> np.ndarray:
    if stored.dtype.kind != "u":
        return stored.astype(np.float64)
    # A bfloat16 is the upper half of a float32.
    return (stored.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def _summed(root: Place, scores: np.ndarray, info: Any) -> np.ndarray:
    """Return sums over the tokens of each example, whose weight all of them have."""
    rows = open_npy(root / "offsets.npy", axes=1)
    offsets = rows.read(0, rows.shape[0])
    n = info.get("num_items")
    sound = len(offsets) == (n + 1 if type(n) is int else -1) and offsets[0] == 0
    if not sound or offsets[-1] != len(scores) or bool((np.diff(offsets) < 0).any()):
        raise ValueError(f"{rows.place} must divide {len(scores)} rows among {n}")
    ids = root / "doc_ids.npy"
    if ids.is_file():
        found = open_npy(ids, axes=2)
        numbers = found.read(0, found.shape[0])
        if len(numbers) != n or bool((numbers != np.arange(n)[:, None]).any()):
            raise ValueError(
                f"{ids} must give each row's tokens to one example, got packed rows: "
                "their examples' sums are not known"
            )
    total = np.concatenate([np.zeros((1, scores.shape[1])), scores.cumsum(0)])
    return total[offsets[1:]] - total[offsets[:-1]]
