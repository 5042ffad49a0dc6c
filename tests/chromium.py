"""The browser of the tests: Debian's Chromium, told to keep its own connections to itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]


@contextmanager
def watched(browser) -> Iterator:
    """Yield a function that opens an empty page in a window of its own, from which only addresses that begin with `allowed` may be
    asked; at the end the test fails if a page threw, logged an error or asked elsewhere."""
    troubles, contexts = [], []

    def opened(allowed, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        context.on("request", lambda request: request.url.startswith(allowed) or troubles.append(request.url))
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: message.type in ("error", "warning") and troubles.append(described(message)))
        return page, troubles

    yield opened
    for context in contexts:
        context.close()
    assert troubles == [], f"the page threw, logged or asked elsewhere: {troubles}"


def described(message):
    return f"{message.type}: {message.text} ({message.location['url']})"
