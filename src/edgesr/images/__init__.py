"""Read and write picture files with their colours, metadata and full bit depth. Nothing here depends on the models."""

from edgesr.images.formats import check_size, extension_for, format_for, is_picture_name, result_extension, written_as
from edgesr.images.picture import MAX_PIXELS, Picture
from edgesr.images.pil import from_pil, to_pil
from edgesr.images.read import DamagedError, read
from edgesr.images.write import encode, encode_into, fit, write

__all__ = [
    "MAX_PIXELS",
    "DamagedError",
    "Picture",
    "check_size",
    "encode",
    "encode_into",
    "extension_for",
    "fit",
    "format_for",
    "from_pil",
    "is_picture_name",
    "read",
    "result_extension",
    "to_pil",
    "write",
    "written_as",
]
