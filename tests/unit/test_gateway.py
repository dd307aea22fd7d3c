"""What stands between a client and a server hides neither's end from the other."""

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from gateway import Gateway

LINGER_NOT = struct.pack("ii", 1, 0)
"""For SO_LINGER: closing resets the connection."""


@pytest.fixture(name="server")
def _server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture(name="gateway")
def _gateway(server: socket.socket) -> Iterator[Gateway]:
    made = Gateway(server.getsockname())
    made.open()
    yield made
    made.close()


@pytest.mark.parametrize("resets", [False, True])
def test_a_client_is_told_at_once_that_the_server_closed_or_reset_its_connection(
    server: socket.socket, gateway: Gateway, resets: bool
):
    def end() -> None:
        connection, _ = server.accept()
        connection.recv(1)
        if resets:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        connection.close()

    thread = threading.Thread(target=end)
    thread.start()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as client:
        client.sendall(b"?")
        assert client.recv(1) == b""
    thread.join()
