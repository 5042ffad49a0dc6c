"""Make the example pictures: small, blurred, noisy, compressed versions of free pictures that scikit-image carries.

Run as `python examples/make.py`; needs the `dev` extra. The seed is fixed, so that the pictures are the same on every run.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from skimage import data

HERE = Path(__file__).parent
PICTURES = {  # name: (picture, box to cut out, width in px to reduce to)
    "cat": (data.chelsea, (0, 0, 448, 300), 160),
    "coffee": (data.coffee, (40, 0, 600, 400), 168),
    "astronaut": (data.astronaut, (70, 0, 390, 320), 120),
}


def main() -> None:
    """Write one JPEG a picture beside this file."""
    rng = np.random.default_rng(0)
    for name, (load, box, width) in PICTURES.items():
        picture = Image.fromarray(load()).crop(box)
        height = round(width * picture.height / picture.width)
        small = picture.filter(ImageFilter.GaussianBlur(1.2)).resize((width, height), Image.Resampling.BICUBIC)
        noisy = np.asarray(small, np.float64) + rng.normal(0, 6, (height, width, 3))
        Image.fromarray(noisy.clip(0, 255).round().astype(np.uint8)).save(HERE / f"{name}.jpg", quality=60)


if __name__ == "__main__":
    main()
