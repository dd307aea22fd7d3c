"""A TCP forwarder that can be opened and closed, so that a test decides when a server is reachable."""

import contextlib
import selectors
import socket
import threading


class Gateway:
    """Listens on a loopback port from ``open`` to ``close`` and forwards to ``target``.

    ``seen`` holds all bytes that clients sent.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener: socket.socket | None = None
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.seen = bytearray()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._start(self._accept, self._listener)

    def close(self) -> None:
        """Refuse connections and cut those there are."""
        if self._listener:
            for each in (self._listener, *self._sockets):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            for thread in self._threads:
                thread.join()
            for each in (self._listener, *self._sockets):
                each.close()
        self._listener = None
        self._sockets.clear()
        self._threads.clear()

    def _start(self, function: object, *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            self._sockets += [client, server]
            self._start(self._forward, client, server)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        """Until either ends its connection in any way, which is the other's end too."""
        try:
            with contextlib.suppress(OSError):
                self._copy(client, server)
        finally:
            for each in (client, server):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _copy(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in ready.select():
                    source = client if key.data is server else server
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is client:
                        self.seen += data
                    key.data.sendall(data)
