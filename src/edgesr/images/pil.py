"""Convert Pillow images to pictures and back, with the meaning of their mode and the metadata in `info`."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from edgesr.errors import InputError
from edgesr.images import colour, profile
from edgesr.images import exif as exif_block
from edgesr.images.bands import Bands
from edgesr.images.elsewhere import decoded_raw_profile
from edgesr.images.ifd import read_tags
from edgesr.images.library_output import quiet
from edgesr.images.metadata import resolution, settle
from edgesr.images.picture import Picture

_SIXTEEN_BIT = {"I;16", "I;16L", "I;16B", "I;16N"}
_CONVERTED = {"CMYK", "LAB"}  # to sRGB, which leaves their profile behind
_PLAIN = {"L", "LA", "RGB", "RGBA"}
_TO_PLAIN = {"1": "L", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "PA": "RGBA", "YCbCr": "RGB", "HSV": "RGB"}
_NO_TEXT = ("XML:com.adobe.xmp", "Raw profile type", "Thumb::")


def from_pil(image: Image.Image) -> Picture:
    """Return the picture a Pillow image shows: turned upright by its EXIF, with its profile, EXIF, XMP and resolution.

    Raises InputError for 32-bit samples (modes I and F) and for a file that Pillow opened but cannot decode.
    """
    notes: list[str] = []
    if 0 in image.size:
        raise InputError(f"the image is empty: {image.width}x{image.height} pixels")
    with quiet():
        try:
            image.load()
        except Exception as error:  # a decoder of foreign bytes may raise anything
            raise InputError(f"the image cannot be decoded: {error}") from error
        picture = metadata(image, pixels(image, notes))
        if picture.exif is None and (tags := image.getexif()):  # set by hand, or read from a TIFF's own directory
            block = exif_block.bare(tags.tobytes())
            picture.exif = exif_block.from_tiff(read_tags(io.BytesIO(block))) if block else None
            return settle(picture, tags.get(exif_block.ORIENTATION, 1))
    return settle(picture, None)


def to_pil(picture: Picture) -> Image.Image:
    """Return a Pillow image of mode L, LA, RGB, RGBA or I;16, with icc_profile, exif, xmp and dpi in its `info`.

    Pillow has no mode for 16-bit colours or 16-bit grey with alpha: those are reduced to 8 bits.
    """
    image = WithMetadata(as_image(picture.pixels))
    image.info.update(info(picture))
    return image


class WithMetadata(Image.Image):
    """A Pillow image whose `save` writes the profile, EXIF, XMP and resolution of its `info`: Pillow's own does so for PNG alone."""

    def __init__(self, image: Image.Image) -> None:
        super().__init__()
        self.__dict__.update(image.__dict__)

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:
        """As Pillow's; what `params` name wins, and None leaves it out."""
        kept: dict[Any, Any] = {key: self.info[key] for key in ("icc_profile", "exif", "xmp", "dpi") if key in self.info}
        wanted: dict[str, Any] = {**kept, **params}
        super().save(fp, format, **{key: value for key, value in wanted.items() if value is not None})


def info(picture: Picture) -> dict[str, Any]:
    """Return a picture's profile, EXIF, XMP and resolution under Pillow's names."""
    exif = picture.exif and exif_block.PREFIX + picture.exif
    kept = {"icc_profile": picture.icc, "exif": exif, "xmp": picture.xmp, "dpi": picture.dpi}
    return {key: value for key, value in kept.items() if value is not None}


def as_image(array: np.ndarray) -> Image.Image:
    """Wrap (H, W, C) pixels as a Pillow image; 16-bit ones of more than one channel are reduced to 8 bits."""
    if array.dtype == np.uint16 and array.shape[2] > 1:
        array = Bands.of(array).map(colour.to_eight_bit, dtype=np.uint8).whole()
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array))


def metadata(image: Image.Image, array: np.ndarray) -> Picture:
    """Make a picture from pixels that are not yet upright and the `info` of their Pillow image."""
    stated = image.info
    exif = stated.get("exif")
    if exif is None and isinstance(raw := stated.get("Raw profile type exif"), str):  # how PNG held it before 2017
        exif = decoded_raw_profile(raw) or b"damaged"
    xmp = stated.get("xmp")
    icc = stated.get("icc_profile") or None
    if icc is None and image.format == "PNG":
        icc = profile.from_png(stated, grey=array.shape[2] < 3)
    return Picture(
        pixels=array,
        format=image.format or "PNG",
        icc=None if image.mode in _CONVERTED else icc,
        exif=exif_block.bare(exif) if isinstance(exif, bytes) else None,
        xmp=(xmp.encode() if isinstance(xmp, str) else xmp) or None,
        text=_text(image),
        dpi=resolution(stated.get("dpi")),
    )


def _text(image: Image.Image) -> dict[str, str]:
    """Return the text of a PNG or JPEG, without the metadata that is kept elsewhere and thumbnails' text."""
    if isinstance(image, PngImageFile):
        return {keyword: text for keyword, text in image.text.items() if not keyword.startswith(_NO_TEXT)}
    comment = image.info.get("comment")
    if isinstance(image, JpegImageFile) and isinstance(comment, bytes):
        return {"Comment": comment.decode(errors="surrogateescape")}  # of whatever encoding, it is written as it was
    return {}


def pixels(image: Image.Image, notes: list[str]) -> np.ndarray:
    """Return a loaded image's pixels, (H, W, C) uint8 or uint16 with straight alpha, as the file holds them.

    CMYK and LAB become sRGB, with a note.
    """
    key = image.info.get("transparency")
    if image.mode in _CONVERTED:
        image = colour.to_srgb(image, image.info.get("icc_profile"), notes)
        key = None
    elif image.mode == "P":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        key = None
    elif image.mode in _TO_PLAIN:
        image = image.convert(_TO_PLAIN[image.mode])
    elif image.mode not in _PLAIN | _SIXTEEN_BIT:
        kind = {"F": "32-bit floating-point", "I": "32-bit"}.get(image.mode, f"mode {image.mode}")
        raise InputError(f"has {kind} samples: convert it to 8 or 16 bits a channel first")
    array = np.asarray(image)
    if image.mode in _SIXTEEN_BIT:
        array = array.astype(np.uint16, copy=False)  # in this machine's byte order
    array = array[..., None] if array.ndim == 2 else array
    return colour.with_key(array, key) if isinstance(key, (int, tuple)) and array.shape[2] in (1, 3) else array
