"""Real servers on loopback, for the tests of storage: S3 over HTTP, and SFTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

asyncssh = pytest.importorskip("asyncssh")
moto_server = pytest.importorskip("moto.server")

USER, PASSWORD = "photographer", "correct-horse"


@contextmanager
def s3() -> Iterator[str]:
    """The endpoint of an object store."""
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


class _Login(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, PASSWORD)


@contextmanager
def sftp() -> Iterator[int]:
    """The port of a server that lets USER reach the files of this machine."""
    loop, started, ports = asyncio.new_event_loop(), threading.Event(), []

    async def listen() -> None:
        key = asyncssh.generate_private_key("ssh-ed25519")
        server = await asyncssh.listen(
            "127.0.0.1", 0, server_factory=_Login, server_host_keys=[key], sftp_factory=True, allow_scp=False
        )
        ports.append(server.get_port())
        started.set()

    def serve() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(listen())
        loop.run_forever()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert started.wait(30)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
