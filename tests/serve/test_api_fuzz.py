"""The HTTP interface against whatever its own description allows, and what it does not (schemathesis)."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from visits import as_file, serving

schemathesis = pytest.importorskip("schemathesis", reason="the package schemathesis is not installed")
checks = pytest.importorskip("schemathesis.specs.openapi.checks")
MODES = schemathesis.GenerationMode
WITHIN = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate], database=None
)


@pytest.fixture(scope="module")
def operations():
    with serving("--threads", "1") as (address, _):
        described = schemathesis.openapi.from_url(f"{address}/openapi.json")
        yield {operation.ok().path: operation.ok() for operation in described.get_all_operations()}


CASES = [
    ("/v1/upscale", MODES.POSITIVE),
    ("/v1/upscale", MODES.NEGATIVE),
    ("/v1/jobs", MODES.POSITIVE),
    ("/v1/jobs/{id}/result", MODES.POSITIVE),
    ("/v1/models", MODES.POSITIVE),
    ("/health", MODES.POSITIVE),
]


@pytest.mark.parametrize(("path", "mode"), CASES)
def test_no_request_finds_an_answer_that_is_not_described(operations, small, path, mode) -> None:
    operation = operations[path]
    picture = as_file(small[:8, :8])

    @WITHIN
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case):
        case.call_and_validate(excluded_checks=[checks.positive_data_acceptance])  # any bytes are a body, few are a picture
        if path == "/v1/upscale":  # the same options with a real picture, or few requests would come so far
            case.body = picture
            case.call_and_validate(excluded_checks=[checks.positive_data_acceptance, checks.negative_data_rejection])

    check()
