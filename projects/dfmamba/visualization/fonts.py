"""The one font of our pictures."""

from functools import cache

from PIL import ImageFont


@cache
def font(size_px: int) -> ImageFont.FreeTypeFont:
    """Return a font that every installation has: Pillow brings it along.

    Raises:
        RuntimeError: Pillow was built without FreeType.
    """
    found = ImageFont.load_default(size_px)
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow: expected one with FreeType, as its wheels have it, for text in pictures")
    return found
