"""The paths of jobs: `POST /v1/jobs`, and `/v1/jobs/{id}` with its events and its result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.params import Depends as Dependency
from fastapi.responses import StreamingResponse

from edgesr.serve.jobs import Jobs, Status
from edgesr.serve.options import asked
from edgesr.serve.results import kept
from edgesr.serve.runner import Options
from edgesr.serve.schema import BODIES, UPSCALING, in_shell, refusals, responses
from edgesr.serve.uploads import Uploads

_KNOWN = (401, 403, 404, 422)  # refusals of a request for a job
_EXAMPLE = "http://127.0.0.1:7860/v1/jobs"


def add_jobs(
    app: FastAPI,
    jobs: Jobs,
    uploads: Uploads,
    *,
    guards: Sequence[Dependency],
    guards_of_new: Sequence[Dependency],
    extra: dict[str, Any],
) -> None:
    """Add the paths; `guards` check every request, `guards_of_new` those that make a job, `extra` goes into the descriptions."""

    @app.post(
        "/v1/jobs",
        tags=["jobs"],
        status_code=202,
        dependencies=guards_of_new,
        summary="Upscale an image that takes long",
        description="Body and options are those of `/v1/upscale`; the answer comes at once, with the job's id, and its path as `Location`."
        + in_shell(f"curl -F file=@small.jpg '{_EXAMPLE}?scale=4&format=png'"),
        responses=refusals(*UPSCALING),
        openapi_extra={"requestBody": {"required": True, "content": BODIES}, **extra},
    )
    async def new_job(request: Request, response: Response, options: Annotated[Options, Depends(asked)]) -> Status:
        jobs.check_room()
        async with uploads.reading(request) as data:
            job = await jobs.create(data, options)
        response.headers["Location"] = f"/v1/jobs/{job.id}"
        return jobs.status(job)

    @app.get(
        "/v1/jobs/{id}",
        tags=["jobs"],
        dependencies=guards,
        summary="State, progress and remaining time of a job",
        description=in_shell(f"curl {_EXAMPLE}/ID"),
        responses=refusals(*_KNOWN),
        openapi_extra=extra,
    )
    async def job_status(id: str) -> Status:
        return jobs.status(jobs.get(id))

    @app.get(
        "/v1/jobs/{id}/events",
        tags=["jobs"],
        dependencies=guards,
        summary="The same as server-sent events",
        description="An event for every change, until the job has ended; data is the JSON of `/v1/jobs/{id}`."
        + in_shell(f"curl -N {_EXAMPLE}/ID/events"),
        response_class=StreamingResponse,
        responses={
            200: {"description": "events", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
            **refusals(*_KNOWN),
        },
        openapi_extra=extra,
    )
    async def job_events(id: str) -> StreamingResponse:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx passes each event on
        return StreamingResponse(jobs.events(jobs.get(id)), media_type="text/event-stream", headers=headers)

    @app.get(
        "/v1/jobs/{id}/result",
        tags=["jobs"],
        dependencies=guards,
        summary="The result of a job",
        description="As the response of `/v1/upscale`, or why the job failed, with that status; a part of it for a request with `Range`."
        + in_shell(f"curl {_EXAMPLE}/ID/result -o large.png"),
        response_class=Response,
        responses={
            **responses(),
            206: {"description": "a part of the result"},
            416: {"description": "no such part"},
            **refusals(404, 409),
        },
        openapi_extra=extra,
    )
    async def job_result(id: str) -> Response:
        return kept(jobs.result(id))

    @app.delete(
        "/v1/jobs/{id}",
        tags=["jobs"],
        status_code=204,
        response_model=None,  # older releases of fastapi take the annotation None for a body
        dependencies=guards,
        summary="Stop a job, or remove its result",
        description=in_shell(f"curl -X DELETE {_EXAMPLE}/ID"),
        responses=refusals(*_KNOWN),
        openapi_extra=extra,
    )
    async def delete_job(id: str) -> None:
        jobs.delete(id)
