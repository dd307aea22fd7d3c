"""A name server for tests: a small zone whose answers may change from one question to the next."""

import contextlib
import ipaddress
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping

A, CNAME, AAAA = 1, 5, 28
Zone = Mapping[str, Callable[[int], list[str]]]
"""By name: the texts of the addresses (or of one name, for an alias) for the n-th time it is asked."""


@contextlib.contextmanager
def name_server(address: tuple[str, int], zone: Zone) -> Iterator[None]:
    """Answer questions over UDP at ``address``; what is not in the zone does not exist."""
    asked: dict[tuple[str, int], int] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(address)

        def work() -> None:
            while True:
                question, sender = server.recvfrom(4096)
                if not question:
                    return
                server.sendto(_answer(question, zone, asked), sender)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", address)
            thread.join()


def _answer(question: bytes, zone: Zone, asked: dict[tuple[str, int], int]) -> bytes:
    labels, place = [], 12
    while length := question[place]:
        labels.append(question[place + 1 : place + 1 + length].decode("ascii"))
        place += length + 1
    (kind,) = struct.unpack_from("!H", question, place + 1)
    name = ".".join(labels).lower()
    turn = asked.get((name, kind), 0)
    asked[name, kind] = turn + 1
    answers = b""
    count = 0
    known = name in zone
    while name in zone:
        alias = None
        for text in zone[name](turn):
            try:
                address = ipaddress.ip_address(text)
            except ValueError:
                alias = text
                answers += _record(name, CNAME, _encoded(text))
                count += 1
            else:
                if (A if address.version == 4 else AAAA) == kind:
                    answers += _record(name, kind, address.packed)
                    count += 1
        if alias is None:
            break
        name = alias
    head = question[:2] + struct.pack("!HHHHH", 0x8580 if known else 0x8583, 1, count, 0, 0)
    return head + question[12 : place + 5] + answers


def _record(name: str, kind: int, data: bytes) -> bytes:
    return _encoded(name) + struct.pack("!HHIH", kind, 1, 0, len(data)) + data


def _encoded(name: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode("ascii") for part in name.split(".")) + b"\0"
