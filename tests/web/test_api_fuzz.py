"""The HTTP interface against whatever its own description allows, and what it does not (schemathesis)."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from web.conftest import serving

schemathesis = pytest.importorskip("schemathesis", reason="the package schemathesis is not installed")
schema = schemathesis.pytest.from_fixture("description")


@pytest.fixture(scope="module")
def description():
    with serving("--threads", "1") as (address, _):
        yield schemathesis.openapi.from_url(f"{address}/openapi.json")


@schema.parametrize()
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
    database=None,
)
def test_no_request_finds_an_answer_that_is_not_described(case) -> None:
    case.call_and_validate()
