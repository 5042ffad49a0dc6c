"""The description of the API for people: Swagger UI, with the files of fastapi-offline, so that no other host is asked."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from edgesr.serve.pages import CSP

_FILES = "docs-files"


def add_docs(app: FastAPI) -> None:
    """Serve the page at /docs. Its addresses are relative, for proxies that serve it under another path."""
    app.mount(f"/{_FILES}", StaticFiles(packages=[("fastapi_offline", "static")]))

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url="./openapi.json",
            title=f"{app.title}: HTTP API",
            swagger_js_url=f"./{_FILES}/swagger-ui-bundle.js",
            swagger_css_url=f"./{_FILES}/swagger-ui.css",
            swagger_favicon_url=f"./{_FILES}/favicon.png",
            swagger_ui_parameters={"defaultModelsExpandDepth": -1, "docExpansion": "list"},
        )
        start = re.search(rb"<script>(.*?)</script>", bytes(page.body), re.DOTALL)
        assert start is not None
        digest = b64encode(sha256(start[1]).digest()).decode()
        policy = CSP.replace("script-src 'self'", f"script-src 'self' 'sha256-{digest}'").replace("img-src", "img-src data:")
        page.headers["Content-Security-Policy"] = policy
        return page
