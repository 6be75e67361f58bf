"""Pictures as data addresses, read back by a decoder that is not ours."""

import base64
import io

import numpy as np
import pytest
from matplotlib.image import imread

from dmtheory.rendering import png_data_uri


def decoded(address: str) -> np.ndarray:
    kind, _, data = address.partition(",")
    assert kind == "data:image/png;base64"
    return imread(io.BytesIO(base64.b64decode(data)), format="png")


@pytest.mark.parametrize("shape", [(8, 8), (3, 5), (1, 1), (4, 6, 3)])
def test_a_picture_survives_the_round_trip(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).random(shape)
    back = decoded(png_data_uri(pixels.tolist()))
    assert back.shape == shape
    assert np.abs(back - pixels).max() <= 0.5 / 255 + 1e-6


def test_ink_is_dark() -> None:
    assert decoded(png_data_uri([[0.0, 1.0]], ink=True)).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(
    "pixels", [[], [[]], [1.0], [[0.0, 1.2]], [[0.0], [0.0, 1.0]], [["a"]], [[None]]]
)
def test_what_is_no_picture_is_refused(pixels: list) -> None:
    with pytest.raises(ValueError, match="pixels must"):
        png_data_uri(pixels)
