"""What all tests share: no network, and Numba's cache where it always is."""

import socket

import pytest


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """A test that opens a connection to anything but this machine fails."""
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise RuntimeError(f"a test tried to connect to {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
