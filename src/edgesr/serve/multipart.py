"""The file in a body of type multipart/form-data (RFC 7578), as HTML forms and `curl -F file=@photo.jpg` send it."""

from __future__ import annotations

import logging
from typing import NoReturn

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from edgesr.serve.limits import Refusal

KIND = "multipart/form-data"
OVERHEAD = 16 * 2**10  # bytes of a body beside its file: boundaries and headers
_HEADER_BYTES = 4 * 2**10  # of the one part
logging.getLogger("python_multipart").setLevel(logging.ERROR)  # a malformed form is the client's error and is answered
_EXAMPLE = "send one image, as `curl -F file=@photo.jpg` does"


class FormFile:
    """Takes a body piece by piece, and keeps the content of its one file. All methods raise Refusal."""

    def __init__(self, content_type: str) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            _refuse(f"the content type has no boundary: {_EXAMPLE}")
        self.data = bytearray()
        self._files, self._ended = 0, False
        self._header, self._disposition = [b"", b""], b""  # the header being read; the value of Content-Disposition
        self._header_bytes = 0
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_header_field": lambda data, start, end: self._add_to_header(0, data[start:end]),
                    "on_header_value": lambda data, start, end: self._add_to_header(1, data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_part,
                    "on_part_data": self._add_data,
                    "on_end": self._end,
                },
            )
        except FormParserError:
            _refuse(f"the content type has no valid boundary: {_EXAMPLE}")

    def write(self, piece: bytes) -> None:
        """Take the next bytes of the body."""
        try:
            self._parser.write(piece)
        except FormParserError:
            _refuse(f"the form is malformed: {_EXAMPLE}")

    def check_complete(self) -> None:
        """Check, at the end of the body, that the form is complete and has a file."""
        if not self._ended and (self._files or self._header_bytes):
            _refuse("the form is incomplete: its last boundary is missing")
        if not self._files:
            _refuse(f"the form has no file: {_EXAMPLE}")

    def _add_to_header(self, which: int, piece: bytes) -> None:
        self._header_bytes += len(piece)
        if self._header_bytes > _HEADER_BYTES:
            _refuse(f"the form's headers are too long: {_EXAMPLE}")
        self._header[which] += piece

    def _end_header(self) -> None:
        name, value = self._header
        if name.strip().lower() == b"content-disposition":
            self._disposition = value
        self._header = [b"", b""]

    def _begin_part(self) -> None:
        described = parse_options_header(self._disposition)[1]
        self._disposition = b""
        if b"filename" not in described:
            name = described.get(b"name", b"").decode("utf-8", "replace")
            _refuse(f"the form field {name[:80]!r} is not a file: {_EXAMPLE}, and give options in the query, as ?scale=2")
        self._files += 1
        if self._files > 1:
            _refuse(f"the form has several files: {_EXAMPLE}, and send others in requests of their own")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self.data += data[start:end]

    def _end(self) -> None:
        self._ended = True


def _refuse(detail: str) -> NoReturn:
    raise Refusal(422, "bad_form", detail)
