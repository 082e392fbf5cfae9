"""Sine encodings against the definition, number by number."""

import math

import pytest
import torch

from dfmamba.models.layers.position_encoding import anchor_encoding, image_encoding, pixel_centers

DOUBLE = torch.zeros((), dtype=torch.double)


def wave(position, channel, channels):
    """Sine on even, cosine on odd channels; two neighbours share a frequency."""
    angle = 2 * math.pi * position / 10000 ** (2 * (channel // 2) / channels)
    return math.sin(angle) if channel % 2 == 0 else math.cos(angle)


@pytest.mark.parametrize("channel", [0, 1, 2, 77, 127])
def test_image_encoding_has_y_first_and_half_pixels(channel):
    encoding = image_encoding(pixel_centers(4, 8, like=DOUBLE), 256).reshape(4, 8, 256)
    row, column = 3, 1
    assert encoding[row, column, channel].item() == pytest.approx(wave(3.5 / 4, channel, 128))
    assert encoding[row, column, 128 + channel].item() == pytest.approx(wave(1.5 / 8, channel, 128))


@pytest.mark.parametrize("channel", [0, 1, 6, 31])
def test_anchor_encoding_has_the_order_y_x_z(channel):
    encoding = anchor_encoding(torch.tensor([[0.1, 0.4, 0.7]], dtype=torch.double), 32)
    assert encoding.shape == (1, 96)
    for block, position in enumerate((0.4, 0.1, 0.7)):
        assert encoding[0, 32 * block + channel].item() == pytest.approx(wave(position, channel, 32))


def test_pixel_centers_run_row_by_row():
    expected = [[0.25, 1 / 6], [0.75, 1 / 6], [0.25, 0.5], [0.75, 0.5], [0.25, 5 / 6], [0.75, 5 / 6]]
    torch.testing.assert_close(pixel_centers(3, 2, like=DOUBLE), torch.tensor(expected, dtype=torch.double))
