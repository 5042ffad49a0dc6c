"""A JPEG round trip for a batch of pictures in torch, without the lossless entropy coding: baseline JPEG with 4:2:0 chroma
(ITU-T T.81, JFIF 1.02) and the IJG quality scale."""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F

# ITU-T T.81, annex K, tables K.1 and K.2.
LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)
TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def jpeg(images: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """Pictures (B, 3, H, W) in [0, 1] after a JPEG round trip at libjpeg's `quality` (B,), 1..100; quantised to 8 bits."""
    height, width = images.shape[-2:]
    pixels = F.pad(images.clamp(0, 1) * 255, (0, -width % 16, 0, -height % 16), mode="replicate").round_()
    ycc = _mix(pixels, TO_YCBCR).round_()  # chroma is already centred on 0
    luma = _code(ycc[:, :1] - 128, _quantisation(LUMA_TABLE, quality)) + 128
    chroma = _code(F.avg_pool2d(ycc[:, 1:], 2).round_(), _quantisation(CHROMA_TABLE, quality))
    # libjpeg's default ("fancy") upsampling is this triangle filter.
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    rgb = _mix(torch.cat((luma, chroma), dim=1), TO_RGB)[..., :height, :width]
    return rgb.round().clamp(0, 255) / 255


def _mix(pixels: torch.Tensor, matrix: tuple[tuple[float, ...], ...]) -> torch.Tensor:
    """Multiply the three channels of (B, 3, H, W) by a 3x3 matrix."""
    red, green, blue = pixels.unbind(1)
    return torch.stack([a * red + b * green + c * blue for a, b, c in matrix], dim=1)


def _quantisation(table: tuple[tuple[int, ...], ...], quality: torch.Tensor) -> torch.Tensor:
    """libjpeg's scaled table for each quality: (B, 1, 1, 64)."""
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    base = torch.tensor(table, dtype=torch.float32, device=quality.device).reshape(1, 1, 1, 64)
    return ((base * percent.reshape(-1, 1, 1, 1) + 50) / 100).floor().clamp(1, 255)


@cache
def _dct_matrix(device: torch.device) -> torch.Tensor:
    """The orthonormal 8x8 DCT-II of a flattened block, (64, 64): coefficients = block @ matrix."""
    k, n = torch.arange(8.0)[:, None], torch.arange(8.0)[None]
    rows = torch.cos(math.pi * (2 * n + 1) * k / 16) / 2
    rows[0] /= math.sqrt(2)
    return torch.kron(rows, rows).T.contiguous().to(device)


def _code(planes: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Quantise the block DCT of planes (B, C, H, W), H and W multiples of 8; samples come back as whole numbers in
    -128..127."""
    batch, channels, height, width = planes.shape
    matrix = _dct_matrix(planes.device)
    blocks = planes.reshape(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    coefficients = blocks.reshape(batch, channels, -1, 64) @ matrix
    decoded = ((coefficients / table).round_() * table) @ matrix.T
    decoded = decoded.round_().clamp_(-128, 127).reshape(batch, channels, height // 8, width // 8, 8, 8)
    return decoded.transpose(3, 4).reshape(batch, channels, height, width)
