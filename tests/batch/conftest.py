"""A real Ray cluster of two nodes on this machine, and a real object store, shared by tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from command_line import ENVIRONMENT

pytest.importorskip("ray", reason="the extra ray is not installed")
import servers
from cluster_runs import KEYS, NODE, SETTINGS, TwoNodes
from ray.cluster_utils import Cluster


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """The endpoint of a real S3 server; what a program has to know of it is in the environment."""
    with servers.s3() as endpoint, pytest.MonkeyPatch.context() as patched:
        for name, value in {**KEYS, **SETTINGS, "AWS_ENDPOINT_URL": endpoint}.items():
            patched.setenv(name, value)
        yield endpoint


@pytest.fixture(scope="module")  # not of the session: its idle processes would take time from all later tests
def two_nodes(object_store: str) -> Iterator[TwoNodes]:
    environment = {**ENVIRONMENT, **{name: os.environ[name] for name in (*KEYS, *SETTINGS, "AWS_ENDPOINT_URL")}}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", environment["PYTHONPATH"])  # for the workers
        cluster = _started(3)
        try:
            yield TwoNodes(cluster.address, environment)
        finally:
            cluster.shutdown()


def _started(attempts: int) -> Cluster:
    """A cluster whose nodes have registered, for which Ray gives them 30 s: too few on a machine that is busy otherwise."""
    cluster = Cluster()
    try:
        for _ in range(2):
            cluster.add_node(**NODE)
        cluster.wait_for_nodes()
    except Exception:
        cluster.shutdown()
        if attempts == 1:
            raise
        return _started(attempts - 1)
    return cluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a cluster time: a machine that is busy otherwise takes a minute to start it, and as long for each run."""
    for item in items:
        if "two_nodes" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(1200))
