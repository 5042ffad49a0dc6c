"""Values of the Python side that the page's TypeScript has to reproduce: `python tests/serve/golden.py` writes web/test/golden.json."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
from PIL import Image

from edgesr.images.bands import Bands
from edgesr.presets import LATENT_STRIDE, PRESETS, SCALE
from edgesr.upscaling.memory import WINDOW_PIXELS
from edgesr.upscaling.noise import noise_field
from edgesr.upscaling.planes import fill_transparent, hold_within_neighbours, to_grey
from edgesr.upscaling.sharpen import CRISP, sharpen
from edgesr.upscaling.size import MAX_SCALE, MIN_SCALE, target_size
from edgesr.upscaling.tiling import plan_exact

FILE = Path(__file__).parents[2] / "web/test/golden.json"
SIZES = [(4, 4), (128, 128), (512, 512), (516, 512), (1000, 752), (3000, 4000), (8, 20000), (60, 6004)]
FACTORS = [(10, 15, 2.5), (3, 5, 1.5), (1, 1, 1.0), (333, 77, 7.9), (5, 9, 4.5)]


def golden() -> dict[str, object]:
    """Return the values, as JSON holds them."""
    tiny = PRESETS["tiny"]
    random = np.random.default_rng(0)
    colour = random.integers(0, 256, (13, 18, 3), np.uint8)
    alpha = (random.integers(0, 256, (13, 18, 1)) * (random.random((13, 18, 1)) < 0.3)).astype(np.uint8)
    enlarged = random.integers(0, 256, (52, 72, 1), np.uint8)
    held = enlarged.copy()
    held = hold_within_neighbours(Bands.of(held), alpha).whole()
    planes = random.random((3, 4, 5), np.float32)
    return {
        "model": {
            "name": "tiny",
            "scale": SCALE,
            "halo": tiny.halo,
            "multiple": tiny.multiple,
            "latentChannels": tiny.latent_channels,
            "latentStride": LATENT_STRIDE,
        },
        "limits": {"windowPixels": WINDOW_PIXELS, "minScale": MIN_SCALE, "maxScale": MAX_SCALE, "crispSharpness": CRISP},
        "plans": [
            {"height": height, "width": width, "windowPixels": pixels, **_plan(height, width, pixels)}
            for height, width in SIZES
            for pixels in (WINDOW_PIXELS, 256 * 256)
        ],
        "sizes": [[width, height, factor, *target_size(width, height, factor)] for width, height, factor in FACTORS],
        "noise": [
            {
                "seed": seed,
                "rows": rows,
                "columns": columns,
                "values": _packed(noise_field(seed, 16, range(*rows), range(*columns))),
            }
            for seed, rows, columns in ((0, (0, 12), (0, 9)), (0, (1000, 1003), (77, 90)), (2**32 - 5, (5, 8), (65530, 65540)))
        ],
        "resizes": [
            _resize(enlarged, *size) for size in ((36, 26), (72, 52), (72, 40), (100, 52), (71, 53), (9, 7), (144, 104))
        ],
        "sharpened": [
            {"channels": channels, "values": _packed(sharpen(Bands.of(enlarged.reshape(-1, 24, channels)), 0.7).whole())}
            for channels in (1, 2, 3, 4)
        ],
        "planes": {
            "colour": _packed(colour),
            "alpha": _packed(alpha),
            "filled": _packed(fill_transparent(colour, alpha)),
            "enlarged": _packed(enlarged),
            "held": _packed(held),
            "planes": _packed(planes),
            "grey": _packed(to_grey(planes)),
        },
    }


def _plan(height: int, width: int, pixels: int) -> dict[str, object]:
    tiny = PRESETS["tiny"]
    plan = plan_exact(height, width, tile=None, halo=tiny.halo, multiple=tiny.multiple, window_pixels=pixels)
    rows, columns = ([[s.start, s.stop, s.keep_start, s.keep_stop] for s in spans] for spans in (plan.rows, plan.columns))
    return {"rows": rows, "columns": columns}


def _resize(plane: np.ndarray, width: int, height: int) -> dict[str, object]:
    resized = Image.fromarray(plane[:, :, 0]).resize((width, height), Image.Resampling.LANCZOS)
    return {"width": width, "height": height, "values": _packed(np.asarray(resized))}


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


if __name__ == "__main__":
    FILE.write_text(json.dumps(golden(), separators=(",", ":")) + "\n")
