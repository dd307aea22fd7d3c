"""Processes that decode strangers' images, since only a process can be stopped.

A hostile file can keep a decoder busy for hours, hold Python's lock meanwhile, eat memory or crash; no check
of its header foresees all of that. So images are decoded by a few helpers forked from a process that does
nothing else: a job that takes too long is killed with its helper, a helper has a limit of memory, and what
breaks is one answer. They are shared by all workers of the server, and forking keeps them small.

A job is one connection to a Unix socket. A helper that is free takes it and says its process id; until then
the job waits in the socket's queue. The helper takes no other job before the connection is closed by the one
who gave it, so a late kill never hits a stranger's job.
"""

import gc
import json
import os
import resource
import select
import shutil
import signal
import socket
import struct
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from match_service import allocator, engine
from match_service.engine.overlap import MODES, Overlap, overlap
from match_service.engine.thumbnail import thumbnail
from match_service.engine.variants import signature_and_variants
from match_service.errors import BadImageError, OverloadedError
from match_service.model import Signature, Views

WAIT_SECONDS: Final = 10.0
"""Longest wait for a free helper; beyond it the service is overloaded."""
QUEUE: Final = 128
JOBS: Final = 1000
"""Jobs after which a helper makes room for a fresh one, whatever decoders may have leaked."""
MEMORY: Final = 2 * 1024**3
"""Bytes a helper may take beyond what it is born with."""
KEPT: Final = 16 * 1024**2
"""Bytes beyond what it was born with that a helper keeps between two jobs."""
READ_SECONDS: Final = 30.0

_PID: Final = struct.Struct("!q")
_HEAD: Final = struct.Struct("!qqqq")
_LENGTH: Final = struct.Struct("!q")
_SIGNATURE, _COMPARE, _THOROUGH, _THUMBNAIL, _OVERLAP = range(5)


class Workshop:
    """Decodes as ``match_service.engine`` does, in at most ``processes`` helpers at a time.

    To be made before the processes that use it are forked, by their parent, which calls ``tend`` now and
    then and ``close`` in the end. Methods raise ``BadImageError``, also for an image that takes longer than
    ``seconds`` or breaks its helper, and ``OverloadedError``.
    """

    def __init__(self, processes: int, seconds: float, *, wait: float = WAIT_SECONDS) -> None:
        self._processes = processes
        self._seconds = seconds
        self._wait = wait
        self._folder = Path(tempfile.mkdtemp(prefix="match-"))
        self._path = str(self._folder / "decode")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self._path)
        self._listener.listen(QUEUE)
        self._listener.setblocking(False)  # several helpers wake for one job
        self._alive, self._ours = os.pipe()
        self._foreman = 0
        self.tend()

    def tend(self) -> None:
        """See to it that the process all helpers descend from is there."""
        if self._foreman:
            try:
                os.kill(self._foreman, 0)
            except ProcessLookupError:
                self._foreman = 0
        if not self._foreman:
            self._foreman = os.fork()
            if not self._foreman:
                _become(self._lead)

    def close(self) -> None:
        """Let the helpers go, and remove the socket."""
        self._listener.close()
        os.close(self._ours)
        os.close(self._alive)
        shutil.rmtree(self._folder, ignore_errors=True)

    def signature(self, data: bytes) -> Signature:
        """As ``engine.signature``."""
        _, body = self._ask(_SIGNATURE, data)
        return np.frombuffer(body, dtype=np.int8)

    def signature_and_variants(self, data: bytes, *, mirrored: bool) -> tuple[Signature, Views]:
        """As ``engine.variants.signature_and_variants``."""
        _, body = self._ask(_THOROUGH, data, b"mirrored" if mirrored else b"")
        rows = np.frombuffer(body, dtype=np.int8).reshape(-1, 648)
        return rows[0], rows[1:]

    def compare(self, first: bytes, second: bytes) -> float:
        """As ``engine.compare``."""
        head, _ = self._ask(_COMPARE, first, second)
        return float(head["distance"])

    def thumbnail(self, data: bytes, note: str) -> bytes:
        """As ``engine.thumbnail.thumbnail``."""
        _, body = self._ask(_THUMBNAIL, data, note.encode())
        return body

    def overlap(self, first: bytes, second: bytes, mode: str, *, all_orientations: bool) -> Overlap:
        """As ``engine.overlap.overlap``."""
        option = 2 * MODES.index(mode) + all_orientations
        head, body = self._ask(_OVERLAP, first, second, option)
        return Overlap(body, head["view"], head["distance"])

    def _ask(
        self, what: int, first: bytes, second: bytes = b"", option: int = 0
    ) -> tuple[dict[str, Any], bytes]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as job:
            helper = self._hired(job)
            deadline = time.monotonic() + self._seconds
            try:
                job.settimeout(self._seconds)
                job.sendall(_HEAD.pack(what, option, len(first), len(second)))
                job.sendall(first)
                job.sendall(second)
                reply = _rest(job, deadline)
            except TimeoutError as error:
                _stop(helper)
                raise BadImageError(
                    f"The image took longer than {self._seconds:g} seconds to decode.", "time"
                ) from error
            except OSError as error:
                raise BadImageError("The image cannot be decoded: it broke the decoder.", "crash") from error
        if len(reply) < _LENGTH.size:
            raise BadImageError("The image cannot be decoded: it broke the decoder.", "crash")
        (length,) = _LENGTH.unpack_from(reply)
        head: dict[str, Any] = json.loads(reply[_LENGTH.size : _LENGTH.size + length])
        if "refused" in head:
            raise BadImageError(head["refused"], head["reason"])
        if "failed" in head:
            raise RuntimeError(head["failed"])
        return head, reply[_LENGTH.size + length :]

    def _hired(self, job: socket.socket) -> int:
        """The process id of the helper that has taken the job."""
        job.settimeout(self._wait)
        try:
            job.connect(self._path)
            return int(_PID.unpack(job.recv(_PID.size, socket.MSG_WAITALL))[0])
        except (OSError, struct.error) as error:
            raise OverloadedError("The service has more images to decode than it can.") from error

    def _lead(self) -> None:
        """Keep as many helpers as there should be, until the server is gone."""
        engine.signature(_warm())
        gc.collect()
        gc.freeze()
        helpers: set[int] = set()
        while True:
            while len(helpers) < self._processes:
                helper = os.fork()
                if not helper:
                    _become(self._help)
                helpers.add(helper)
            ended, _ = os.wait()
            helpers.discard(ended)
            if select.select([self._alive], [], [], 0)[0]:
                return

    def _help(self) -> None:
        _limit_memory()
        _silence()
        most = allocator.resident() + KEPT
        for _ in range(JOBS):
            job = self._next()
            if job is None:
                return
            with job:
                try:
                    job.settimeout(READ_SECONDS)
                    job.sendall(_PID.pack(os.getpid()))
                    _work(job)
                except OSError:  # the request was given up
                    continue
            if allocator.resident() > most:
                allocator.trim()

    def _next(self) -> socket.socket | None:
        while True:
            ready = select.select([self._listener.fileno(), self._alive], [], [])[0]
            if self._alive in ready:  # closed by the server, or with it
                return None
            try:
                return self._listener.accept()[0]
            except BlockingIOError:
                continue

    def descriptors(self) -> tuple[int, ...]:
        """What a helper needs of what is open."""
        return self._listener.fileno(), self._alive


def _become(role: Any) -> None:
    """Spend the rest of this forked process on ``role``, and never return into the code that forked."""
    try:
        # Ctrl-C and service managers tell the whole group; helpers stay until the server needs none.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        _close_all_but(role.__self__.descriptors())
        role()
    except BaseException:  # noqa: BLE001 - whatever it is must not reach the caller's handlers
        os._exit(1)
    os._exit(0)


def _close_all_but(kept: tuple[int, ...]) -> None:
    """Among what is closed: the server's port, and the pipe whose end tells that the server is gone."""
    first = 3
    for number in sorted(kept):
        os.closerange(first, number)
        first = number + 1
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    os.closerange(first, most if most != resource.RLIM_INFINITY else 2**20)


def _limit_memory() -> None:
    if taken := allocator.address_space():
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY,) * 2)


def _silence() -> None:
    """Codecs in C complain of damaged files on stderr, where the log is."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _work(job: socket.socket) -> None:
    what, option, first, second = _HEAD.unpack(_exactly(job, _HEAD.size))
    images = _exactly(job, first), _exactly(job, second)
    head: dict[str, Any] = {}
    body = b""
    try:
        if what == _COMPARE:
            head["distance"] = engine.compare(*images)
        elif what == _OVERLAP:
            made = overlap(*images, MODES[option // 2], all_orientations=bool(option % 2))
            head, body = {"view": made.view, "distance": made.distance}, made.jpeg
        elif what == _THUMBNAIL:
            body = thumbnail(images[0], images[1].decode())
        elif what == _THOROUGH:
            own, guessed = signature_and_variants(images[0], mirrored=bool(images[1]))
            body = np.vstack([own, guessed]).astype(np.int8, "C").tobytes()
        else:
            body = engine.signature(images[0]).astype(np.int8, "C").tobytes()
    except BadImageError as error:
        head = {"refused": str(error), "reason": error.reason}
    except MemoryError:
        head = {"refused": "The image is too large to be decoded.", "reason": "memory"}
    except Exception as error:  # noqa: BLE001 - told to the process that asked
        head = {"failed": f"{type(error).__name__}: {error}"}
    text = json.dumps(head).encode()
    job.sendall(_LENGTH.pack(len(text)) + text + body)
    job.shutdown(socket.SHUT_WR)
    job.recv(1)


def _exactly(job: socket.socket, length: int) -> bytes:
    data = bytearray(length)
    view = memoryview(data)
    while view:
        count = job.recv_into(view)
        if not count:
            raise ConnectionError
        view = view[count:]
    return bytes(data)


def _rest(job: socket.socket, deadline: float) -> bytes:
    data = bytearray()
    while True:
        job.settimeout(max(0.001, deadline - time.monotonic()))
        part = job.recv(65536)
        if not part:
            return bytes(data)
        data += part


def _stop(helper: int) -> None:
    try:
        os.kill(helper, signal.SIGKILL)
    except ProcessLookupError:
        return


def _warm() -> bytes:
    """A picture whose decoding loads what decoding needs, so that every helper is born with it."""
    size = 32
    pixels = bytes((x * 8 + y * 40) % 256 for y in range(size) for x in range(size))
    return b"P5 %d %d 255 " % (size, size) + pixels
