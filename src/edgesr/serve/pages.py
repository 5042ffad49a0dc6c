"""The files of the built page, with headers that allow WASM threads and forbid connections to other hosts."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.staticfiles import NotModifiedResponse

PAGE = resources.files("edgesr").joinpath("serve", "page")
BUILD = "npm --prefix web ci && npm --prefix web run build"
NOT_BUILT = f"the page is not built: run `{BUILD}` in a clone of the repository; the API works without it"
CSP = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
    ".jpg": "image/jpeg",
}


def is_built() -> bool:
    """Whether the page was built."""
    return PAGE.joinpath("index.html").is_file()


def page_files() -> dict[str, Path]:
    """Return all files of the page by path; the model files are those in weights/, so that a wheel contains them once."""
    root = Path(str(PAGE))
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    weights = Path(str(resources.files("edgesr").joinpath("weights")))
    for name in ("tiny.onnx", "tiny-fidelity.npz", "tiny-int8.onnx", "tiny-fidelity-int8.onnx"):
        files[f"model/{name}"] = weights / name
    if "index.html" in files:
        files[""] = files["index.html"]
    return files


class Pages:
    """Serves the files of the page, also after it was built anew: a request is looked up in a dictionary, and never becomes a path."""

    def __init__(self) -> None:
        self._built, self._files = _time_built(), page_files()

    def answer(self, address: str, encodings: str, known: str = "") -> Response:
        """Return the file at `address`, compressed if `encodings` allows it; status 404 if there is none.

        `known` is the value of If-None-Match: status 304 if it names the file's present ETag.
        """
        self._renew()
        file = self._files.get(address)
        if file is None:
            return PlainTextResponse(f"{NOT_BUILT}\n" if address == "" else "not found\n", 404)
        headers = {"Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if address.startswith("assets/"):  # their names change with their content
            headers["Cache-Control"] = "public, max-age=31536000, immutable"
        kind = _TYPES.get(file.suffix, "application/octet-stream")
        packed = self._files.get(f"{address or 'index.html'}.gz")
        if packed is not None and "gzip" in encodings:
            file, headers["Content-Encoding"] = packed, "gzip"
        response = FileResponse(file, media_type=kind, headers=headers, stat_result=file.stat())
        return NotModifiedResponse(response.headers) if response.headers["etag"] in known else response

    def _renew(self) -> None:
        """List the files again if the page was built since."""
        built = _time_built()
        if built not in (None, self._built):
            self._built, self._files = built, page_files()


def _time_built() -> int | None:
    try:
        return Path(str(PAGE.joinpath("index.html"))).stat().st_mtime_ns
    except FileNotFoundError:
        return None
