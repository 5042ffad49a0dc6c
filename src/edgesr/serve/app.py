"""The HTTP interface: `POST /v1/upscale`, jobs, `/v1/models`, `/health`, the API documentation, and the page.

Errors are JSON, `{"reason", "detail"}`. Clients never provide file paths.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from difflib import get_close_matches
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgesr import __version__
from edgesr.presets import list_models
from edgesr.serve.description import add_docs
from edgesr.serve.exchanges import METRICS_TYPE, Metrics, Observed, write_log
from edgesr.serve.guard import OwnRequestsOnly
from edgesr.serve.job_routes import add_jobs
from edgesr.serve.jobs import Jobs
from edgesr.serve.limits import Limits, Refusal
from edgesr.serve.options import asked, check_options
from edgesr.serve.pages import SECURITY_HEADERS, Pages
from edgesr.serve.results import once
from edgesr.serve.runner import Options
from edgesr.serve.schema import BODIES, READABLE, in_shell, refusals, responses
from edgesr.serve.uploads import Uploads
from edgesr.serve.work import Work

_PATHS = (
    "/v1/upscale",
    "/v1/jobs",
    "/v1/jobs/{id}",
    "/v1/jobs/{id}/events",
    "/v1/jobs/{id}/result",
    "/v1/models",
    "/health",
    "/metrics",
    "/docs",
    "/openapi.json",
)
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
_RETRY_AFTER = "5"  # seconds


def make_app(
    limits: Limits,
    *,
    model: str = "tiny",
    precision: str = "auto",
    threads: int | None = None,
    token: str | None = None,
    host: str = "localhost",
    names: Collection[str] = (),
    origins: Collection[str] = (),
    access_log: bool = False,
    workers: int = 0,
) -> FastAPI:
    """Return the application; with `token`, uploads need the header `Authorization: Bearer TOKEN`.

    It accepts requests for IP addresses, localhost, `host` and `names`, and refuses those that pages of other sites send, except
    for `origins`, such as https://example.org, whose pages may use the API (CORS). With `access_log` it writes a line of JSON for
    every request to standard output. `workers` is the number of processes that upscale; 0: this one does.
    """
    work = Work(limits, model, threads, precision, workers)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(work.close)

    app = FastAPI(
        title="Edge-SD-SR",
        version=__version__,
        summary="Upscales images by one step of latent diffusion.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.stopping = False
    jobs = Jobs(work, limits)

    def stop() -> None:
        """Take no more images, and end all jobs; may be called by a signal's handler."""
        app.state.stopping = True
        jobs.stop()

    app.state.stop = stop
    _answer_in_json(app)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["X-Width", "X-Height", "X-Notes", "Server-Timing", "Retry-After", "Location"],
        )
    app.add_middleware(OwnRequestsOnly, host=host, names=names, origins=origins)  # runs before the one above
    app.add_middleware(_Secured)
    metrics = Metrics(_PATHS)
    app.add_middleware(Observed, listeners=[metrics.add, write_log] if access_log else [metrics.add])
    _add_api(app, work, jobs, limits, token=token, metrics=metrics)
    _add_other_paths(app)
    return app


def _add_other_paths(app: FastAPI) -> None:
    """Serve the page at all other paths, except for those of the API, which get an error."""
    files = Pages()
    methods = {path: ", ".join(each).upper() for path, each in app.openapi()["paths"].items()}
    patterns = {path: compile_path(path)[0] for path in methods}

    def check_method(path: str) -> None:
        known = next((each for each, pattern in patterns.items() if pattern.match(path)), None)
        if known is not None:
            raise HTTPException(405, f"method not allowed; use {methods[known]}", {"Allow": methods[known]})

    @app.api_route("/v1", methods=_METHODS, include_in_schema=False)
    @app.api_route("/v1/{rest:path}", methods=_METHODS, include_in_schema=False)
    async def unknown(request: Request) -> Response:
        path = request.url.path
        check_method(path)
        known = [each for each in methods if each.startswith("/v1/")]
        near = get_close_matches(path.rstrip("/"), known, n=1)
        raise HTTPException(
            404, f"no such path; did you mean {near[0]}?" if near else f"no such path; use {' or '.join(known)}"
        )

    @app.api_route("/{address:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request) -> Response:
        path = request.url.path
        check_method(path)
        headers = request.headers
        return files.answer(path.removeprefix("/"), headers.get("accept-encoding", ""), headers.get("if-none-match", ""))


def _answer_in_json(app: FastAPI) -> None:
    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> JSONResponse:
        return _refusal(error.status, error.reason, error.detail)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        lines = (f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in error.errors())
        return _refusal(422, "bad_option", "; ".join(lines))

    @app.exception_handler(HTTPException)
    async def wrong(_: Request, error: HTTPException) -> JSONResponse:
        answer = _refusal(error.status_code, "not_found" if error.status_code == 404 else "bad_request", str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def failed(_request: Request, _error: Exception) -> JSONResponse:
        """Answer a defect of the server; uvicorn logs its traceback."""
        return _refusal(500, "internal", "internal error of the server; its log has the details")


def _refusal(status: int, reason: str, detail: str) -> JSONResponse:
    headers = {"Retry-After": _RETRY_AFTER} if status in (429, 503) else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"reason": reason, "detail": detail}, status, headers)


class _Secured:
    """Adds the security headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


def _add_api(app: FastAPI, work: Work, jobs: Jobs, limits: Limits, *, token: str | None, metrics: Metrics) -> None:
    uploads = Uploads(limits)

    async def check_token(request: Request) -> None:
        _check_token(request, token)

    async def known_options(request: Request) -> None:
        operation = app.openapi()["paths"][request.scope["route"].path][request.method.lower()]
        known = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
        check_options([name for name, _ in request.query_params.multi_items()], known)

    async def check_running() -> None:
        if app.state.stopping:
            raise Refusal(503, "stopping", "the server is shutting down")

    guards = [Depends(check_token), Depends(known_options)]  # in this order, before the values of the options
    secured: dict[str, Any] = {"security": [{"token": []}]} if token else {}

    @app.post(
        "/v1/upscale",
        tags=["images"],
        dependencies=[*guards, Depends(check_running)],
        summary="Upscale an image",
        description=f"The body is an image file ({READABLE}), as it is (`application/octet-stream`, `image/*`, or curl's default "
        "type) or as the one file of a form (`multipart/form-data`). The content decides the format, not the stated type. The "
        "response's body is the result; its header `X-Notes` is a JSON list of notes on what the output format could not store."
        + in_shell("curl -F file=@small.jpg 'http://127.0.0.1:7860/v1/upscale?scale=2&format=png' -o large.png"),
        response_class=Response,
        responses=responses(),
        openapi_extra={"requestBody": {"required": True, "content": BODIES}, **secured},
    )
    async def upscale(request: Request, options: Annotated[Options, Depends(asked)]) -> Response:
        work.check_queue()
        data = await uploads.read(request)
        outcome = await _unless_gone(request, work.run(data, options))
        metrics.pixels += outcome.width * outcome.height
        return once(outcome)

    add_jobs(app, jobs, uploads, guards=guards, guards_of_new=[*guards, Depends(check_running)], extra=secured)

    @app.get(
        "/v1/models",
        tags=["server"],
        dependencies=[Depends(known_options)],
        summary="List the models and their costs",
        responses=refusals(403, 422),
    )
    def models() -> list[dict[str, Any]]:
        return list_models()

    @app.get("/health", tags=["server"], summary="Status and number of pending images")
    async def health() -> dict[str, Any]:
        state = "stopping" if app.state.stopping else "ok"
        return {
            "status": state,
            "version": __version__,
            "engine": work.engine,
            "precision": work.precision,
            "pending": work.pending,
            "workers": work.workers,
        }

    @app.get(
        "/metrics",
        tags=["server"],
        summary="Counters for Prometheus",
        response_class=Response,
        responses={
            200: {
                "description": "requests by path and status, their seconds, pending images, pixels of results, restarts, jobs by state",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }
        },
    )
    async def counters() -> Response:
        return Response(metrics.text(work.pending, work.restarts, jobs.states()), media_type=METRICS_TYPE)

    add_docs(app)

    if token:
        described = app.openapi

        def with_token() -> dict[str, Any]:
            schema = described()
            schema.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            return schema

        app.openapi = with_token  # type: ignore[method-assign]


def _check_token(request: Request, token: str | None) -> None:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if token and not (scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())):
        raise Refusal(401, "unauthorized", "send the token as `Authorization: Bearer TOKEN`")


async def _unless_gone(request: Request, running: Any) -> Any:
    """The result of `running`, which is cancelled if the client disconnects."""
    task = asyncio.ensure_future(running)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=0.5)
            if not task.done() and await request.is_disconnected() and not task.done():
                raise Refusal(400, "gone", "the client disconnected")
        return task.result()
    finally:
        task.cancel()
