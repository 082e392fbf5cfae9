"""Tiles with captions, a title and a legend of the colours on one image."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from dfmamba.visualization.colors import FINGER_COLORS, GT_COLOR, Color
from dfmamba.visualization.fonts import font

BACKGROUND, TEXT = (250, 250, 250), (20, 20, 20)
GAP_PX = 8
FONT_PX, TITLE_PX = 15, 19


def make_contact_sheet(
    tiles: Sequence[NDArray[np.uint8]],
    captions: Sequence[str],
    title: str = "",
    only_gt: bool = False,
    colors: Mapping[str, Color] = FINGER_COLORS,
) -> NDArray[np.uint8]:
    """Lay out tiles row by row, each with its caption below it.

    Args:
        tiles: (H, W, 3) uint8 RGB images, all of one size.
        captions: One a tile; lines are split at line breaks, and shortened in the middle where they are too wide.
        title: Line above everything.
        only_gt: The tiles show no prediction, and the colours are those of the true joints.
        colors: What the colours in the tiles mean, for the legend.

    Returns:
        (H', W', 3) uint8 RGB.

    Raises:
        ValueError: There is no tile, sizes differ, or there is not one caption a tile.
    """
    sizes = {tile.shape for tile in tiles}
    if len(sizes) != 1 or len(captions) != len(tiles):
        raise ValueError(
            "tiles, captions: expected one or more tiles of one size and as many captions, got "
            f"{len(tiles)} tiles of sizes {sorted(sizes)} and {len(captions)} captions"
        )
    height, width, _ = tiles[0].shape
    columns = math.ceil(math.sqrt(len(tiles)))  # about square
    rows = math.ceil(len(tiles) / columns)
    small, large = font(FONT_PX), font(TITLE_PX)
    line_px = FONT_PX + 4
    caption_px = max(len(caption.splitlines()) for caption in captions) * line_px
    cell = (width + GAP_PX, height + caption_px + GAP_PX)
    top = GAP_PX + (TITLE_PX + 8 if title else 0) + line_px + 4
    sheet = PilImage.new("RGB", (GAP_PX + columns * cell[0], top + rows * cell[1]), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP_PX, GAP_PX // 2), _shorten(title, large, sheet.width - 2 * GAP_PX), TEXT, large)
    _draw_legend(pen, GAP_PX, top - line_px - 6, only_gt, colors)
    for number, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        x, y = GAP_PX + number % columns * cell[0], top + number // columns * cell[1]
        sheet.paste(PilImage.fromarray(tile), (x, y))
        for line, text in enumerate(caption.splitlines()):
            pen.text((x, y + height + 1 + line * line_px), _shorten(text, small, width), TEXT, small)
    return np.array(sheet)


def save_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an RGB image; the ending of the path decides the format."""
    PilImage.fromarray(image).save(path)


def _shorten(text: str, text_font: ImageFont.FreeTypeFont, width_px: int) -> str:
    """Cut characters out of the middle until the text fits; file names differ most at their ends."""
    removed, middle, short = 0, len(text) // 2, text
    while text_font.getlength(short) > width_px and removed < len(text):
        removed += 1
        short = text[: middle - removed // 2] + "…" + text[middle + (removed + 1) // 2 :]
    return short


def _draw_legend(pen: ImageDraw.ImageDraw, x: float, y: float, only_gt: bool, colors: Mapping[str, Color]) -> None:
    small = font(FONT_PX)
    entries = [*colors.items(), *([] if only_gt else [("gt", GT_COLOR)])]
    label = "annotated joints:" if only_gt else "prediction:"
    pen.text((x, y), label, TEXT, small)
    x += small.getlength(label) + 8
    for name, color in entries:
        if name == "gt":
            x += 14
        pen.rectangle((x, y + 3, x + 12, y + 15), fill=color, outline=(120, 120, 120))
        pen.text((x + 17, y), name, TEXT, small)
        x += 17 + small.getlength(name) + 12
