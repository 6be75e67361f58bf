"""bergson's folders of scores, and what its configuration says of a validation."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmtheory.interchange import load_bergson_scores, open_bergson

N, Q = 7, 3
SCORES = np.random.default_rng(2).normal(size=(N, Q)).astype(np.float32)


def write_scores(
    folder: Path,
    scores: np.ndarray = SCORES,
    *,
    dtype: str = "float32",
    unwritten: tuple[int, int] | None = None,
    **more: Any,
) -> Path:
    """Write pairs of a score and a flag, as the library lays them out."""
    folder.mkdir(parents=True, exist_ok=True)
    size = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}[dtype]
    pair = {2: 4, 4: 8, 8: 16}[size]
    names = [f"{kind}_{k}" for k in range(Q) for kind in ("score", "written")]
    offsets = [k * pair + at for k in range(Q) for at in (0, size)]
    itemsize = (Q * pair + 7) // 8 * 8
    rows = np.zeros((len(scores), itemsize), dtype=np.uint8)
    if dtype == "bfloat16":
        stored = (scores.astype("<f4").view("<u4") >> 16).astype("<u2")
    else:
        stored = scores.astype(f"<f{size}")
    for k in range(Q):
        bytes_ = np.ascontiguousarray(stored[:, k]).view(np.uint8).reshape(-1, size)
        rows[:, k * pair : k * pair + size] = bytes_
        rows[:, k * pair + size] = 1
    if unwritten is not None:
        rows[unwritten[0], unwritten[1] * pair + size] = 0
    (folder / "scores.bin").write_bytes(rows.tobytes())
    info = {
        "attribute_tokens": False,
        "num_items": len(scores),
        "num_rows": len(scores),
        "num_scores": Q,
        "dtype": {
            "names": names,
            "formats": [dtype, "bool"] * Q,
            "offsets": offsets,
            "itemsize": itemsize,
        },
        **more,
    }
    (folder / "info.json").write_text(json.dumps(info))
    return folder


def write_config(folder: Path, command: str, options: dict[str, Any]) -> None:
    yaml = pytest.importorskip("yaml")
    content = {"steps": [{command: options}], "metadata": {"bergson_version": "0.26"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_scores_of_every_type_are_read(tmp_path: Path, dtype: str) -> None:
    folder = write_scores(tmp_path, dtype=dtype)
    found = load_bergson_scores(folder, problem="p", higher_is_better=False)
    # Eight bits of a bfloat16 are kept, eleven of a half.
    digits = {"float16": 2**-11, "bfloat16": 2**-7}.get(dtype, 0.0)
    assert np.allclose(found.scores.numpy(), SCORES, rtol=digits, atol=1e-12)
    if dtype == "float32":
        assert np.array_equal(found.scores.numpy(), SCORES)
    assert found.target_labels == ("target 0", "target 1", "target 2")
    assert found.estimand.output == "loss"


def test_the_sign_is_that_of_its_configuration_or_asked_for(tmp_path: Path) -> None:
    folder = write_scores(tmp_path / "run" / "scores")
    with pytest.raises(ValueError, match="higher_is_better must be stated"):
        load_bergson_scores(folder, problem="p")
    said = load_bergson_scores(folder, problem="p", higher_is_better=True)
    assert np.array_equal(said.scores.numpy(), -SCORES)
    # A run of MAGIC has derivatives of the loss, and no configuration of scoring.
    write_config(tmp_path / "run", "magic", {"query_method": "none"})
    found = load_bergson_scores(folder, problem="p")
    assert np.array_equal(found.scores.numpy(), SCORES)
    assert found.estimand.quantity == "response derivative"
    with pytest.raises(ValueError, match="must be False for MAGIC"):
        load_bergson_scores(folder, problem="p", higher_is_better=True)
    # Of gradients a high score is a proponent's, unless it says otherwise.
    for options, sign in (({}, -1), ({"higher_is_better": False}, 1)):
        write_config(folder, "score", {"score_cfg": {"query_path": "q", **options}})
        found = load_bergson_scores(folder, problem="p")
        assert np.array_equal(found.scores.numpy(), sign * SCORES)
        assert found.estimand.quantity == "gradient product"
    with pytest.raises(ValueError, match=r"must be False as .* says, got True"):
        load_bergson_scores(folder, problem="p", higher_is_better=True)


def test_scores_of_tokens_are_summed_by_example(tmp_path: Path) -> None:
    offsets = np.array([0, 3, 3, 7])
    more = {"attribute_tokens": True, "num_items": 3}
    folder = write_scores(tmp_path, **more)
    np.save(folder / "offsets.npy", offsets)
    found = load_bergson_scores(folder, problem="p", higher_is_better=False)
    sums = [SCORES[a:b].sum(0, dtype=np.float64) for a, b in pairwise(offsets)]
    assert np.allclose(found.scores.numpy(), sums, atol=1e-12)
    np.save(folder / "doc_ids.npy", np.array([[0, 0], [1, 1], [2, 2]]))
    load_bergson_scores(folder, problem="p", higher_is_better=False)
    np.save(folder / "doc_ids.npy", np.array([[0, 0], [0, 1], [2, 2]]))
    with pytest.raises(ValueError, match="packed rows"):
        load_bergson_scores(folder, problem="p", higher_is_better=False)
    np.save(folder / "offsets.npy", np.array([0, 3, 2, 7]))
    with pytest.raises(ValueError, match="must divide 7 rows among 3"):
        load_bergson_scores(folder, problem="p", higher_is_better=False)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"unwritten": (4, 1)}, "row 4 and query 1 that was never written"),
        ({"num_rows": N + 1}, "must have 192 bytes as info.json says, got 168"),
        ({"num_rows": -1}, "must count rows"),
        ({"num_scores": True}, "must count rows"),
        ({"num_scores": 2}, "pairs score_k, written_k"),
        ({"num_rows": None}, "must count rows"),
    ],
)
def test_folders_that_contradict_themselves_are_refused(
    tmp_path: Path, change: dict[str, Any], match: str
) -> None:
    folder = write_scores(tmp_path, **change)
    with pytest.raises(ValueError, match=match) as found:
        load_bergson_scores(folder, problem="p", higher_is_better=False)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("formats", ["O", "bool"] * Q),
        ("formats", ["float32", "float32"] * Q),
        ("offsets", [0, 4, 0, 4, 0, 4]),
        ("offsets", [-8, 4, 8, 12, 16, 20]),
        ("itemsize", 16),
        ("names", ["score_0", "written_0"] * Q),
    ],
)
def test_a_layout_of_something_else_is_refused(
    tmp_path: Path, part: str, value: Any
) -> None:
    folder = write_scores(tmp_path)
    info = json.loads((folder / "info.json").read_text())
    info["dtype"][part] = value
    (folder / "info.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match=r"info\.json must") as found:
        load_bergson_scores(folder, problem="p", higher_is_better=False)
    assert "\n" not in str(found.value)


def test_scores_that_are_not_finite_are_named(tmp_path: Path) -> None:
    scores = SCORES.copy()
    scores[2, 1] = np.inf
    folder = write_scores(tmp_path, scores)
    with pytest.raises(ValueError, match="got inf in row 2, query 1"):
        load_bergson_scores(folder, problem="p", higher_is_better=False)


def test_examples_that_kept_a_weight_are_no_subsets(tmp_path: Path) -> None:
    (tmp_path / "subsets.json").write_text("[[0, 1], [2, 3]]")
    table = tmp_path / "validation.csv"
    table.write_bytes(b"subset,diff,score_sum\r\n0,0.5,1\r\n1,-0.25,2\r\n")
    files = tmp_path / "subsets.json", table
    write_config(tmp_path, "validate", {"subset_weight": 0.0, "seed": 1})
    with pytest.raises(ValueError, match="n_train must be stated"):
        open_bergson(*files, problem="p")
    # The scores beside them count the examples.
    write_scores(tmp_path / "scores")
    runs = open_bergson(*files, problem="p")
    masks, outputs = runs.all_rows()
    assert masks.tolist() == [[0, 0, 1, 1, 1, 1, 1], [1, 1, 0, 0, 1, 1, 1]]
    assert outputs.tolist() == [[-0.5], [0.25]]
    write_config(tmp_path, "validate", {"subset_weight": 0.5})
    with pytest.raises(ValueError, match=r"got weight 0\.5: models of other weights"):
        open_bergson(*files, problem="p")
