"""Small WebP pictures: the same pixels give the same bytes on one machine."""

from __future__ import annotations

import io

from PIL import Image

# The first is taken whatever its size.
_QUALITIES = (6, 10, 14, 18, 23, 28, 34, 40, 47, 54, 61, 68, 75)


def webp(picture: Image.Image, budget: int) -> bytes:
    """Encode a picture at the best quality that fits.

    Parameters
    ----------
    picture : PIL.Image.Image
        What to encode.
    budget : int
        Size in bytes that it should not exceed.

    Returns
    -------
    bytes
        A WebP file, without time or name.
    """
    best = _encoded(picture, _QUALITIES[0])
    low, high = 1, len(_QUALITIES)
    while low < high:
        middle = (low + high) // 2
        encoded = _encoded(picture, _QUALITIES[middle])
        if len(encoded) <= budget:
            best, low = encoded, middle + 1
        else:
            high = middle
    return best


def _encoded(picture: Image.Image, quality: int) -> bytes:
    target = io.BytesIO()
    # Sharp conversion keeps thin coloured lines apart from the grey beside them.
    picture.save(target, "WEBP", quality=quality, method=5, use_sharp_yuv=True)
    return target.getvalue()
