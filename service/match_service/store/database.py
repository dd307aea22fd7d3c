"""The embedded store's file: an SQLite database that several processes may have open at once.

Write-ahead logging keeps readers and the one writer out of each other's way, and every commit is on the
disk before it returns. Each image has a sequence number that is never used again and each removal another,
so a process that has read up to some numbers knows exactly what it has still to read. The file must be on
a local disk: SQLite's log needs shared memory between its users.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from match_service.errors import StoreUnavailableError

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x4D544348
"""Says in the file's header that it is ours: "MTCH"."""
BUSY_SECONDS: Final = 30.0
"""Longest wait for another process's transaction; one takes milliseconds."""

# The signatures lie apart so that opening reads nothing but them.
_SCHEMA: Final = (
    """CREATE TABLE image (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        filepath TEXT NOT NULL UNIQUE,
        sha256 TEXT NOT NULL,
        metadata TEXT,
        timestamp REAL NOT NULL
    ) STRICT""",
    "CREATE TABLE signature (sequence INTEGER PRIMARY KEY, halves BLOB NOT NULL) STRICT",
    "CREATE TABLE removal (number INTEGER PRIMARY KEY AUTOINCREMENT, sequence INTEGER NOT NULL) STRICT",
)


class Database:
    """One process's two connections to the file, for any number of threads.

    Not to be carried across a fork: open it in the process that uses it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._read_lock = threading.Lock()
        self._write_lock = threading.Lock()
        with self._faults():
            self._writer = self._connect()
            try:
                self._prepare()
                self._reader = self._connect()
                self._inode = self._path.stat().st_ino
            except BaseException:
                self._writer.close()
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees the file as it is now and until the end of the block."""
        with self._faults(), self._read_lock:
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                self._reader.execute("COMMIT")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are on the disk when the block has ended, or undone if it raises."""
        with self._faults(), self._write_lock:
            self._check_place()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def check(self) -> None:
        """``StoreUnavailableError`` if what is written would be lost with a file no longer at its path."""
        with self._faults():
            self._check_place()

    def close(self) -> None:
        """Close both connections; the last process to do so leaves a single file."""
        with self._read_lock:
            self._reader.close()
        with self._write_lock:
            self._writer.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {64 * 1024 * 1024}")
        return connection

    def _prepare(self) -> None:
        """Refuse a file that is not ours, make a new one ours."""
        self._check_identity()
        self._enable_log()
        self._writer.execute("BEGIN IMMEDIATE")
        # Another process may have done it between the two looks.
        if self._version() == 0:
            for statement in _SCHEMA:
                self._writer.execute(statement)
            self._writer.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._writer.execute("COMMIT")

    def _check_identity(self) -> None:
        # One statement, one moment: another process may be making the file just now.
        application, version, tables = self._writer.execute(
            "SELECT (SELECT application_id FROM pragma_application_id),"
            " (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)"
        ).fetchone()
        if application != APPLICATION_ID and (application or version or tables):
            raise StoreUnavailableError(f"{self._path} is another program's database, not a match store.")
        if version > SCHEMA_VERSION:
            raise StoreUnavailableError(
                f"{self._path} was written by a newer version: its schema is {version}, "
                f"this version knows up to {SCHEMA_VERSION}."
            )

    def _version(self) -> int:
        return int(self._writer.execute("PRAGMA user_version").fetchone()[0])

    def _enable_log(self) -> None:
        # SQLite does not wait by itself where two processes change the journal mode at once.
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._writer.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def _check_place(self) -> None:
        try:
            same = self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            same = False
        if not same:
            raise StoreUnavailableError(f"{self._path} was removed or replaced while it was in use.")

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailableError(self._sentence(error)) from error

    def _sentence(self, error: Exception) -> str:
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return f"{self._path} was locked by another process for {BUSY_SECONDS:.0f} seconds."
        if primary == sqlite3.SQLITE_FULL:
            return f"The disk that holds {self._path} is full."
        if primary == sqlite3.SQLITE_NOTADB:
            return f"{self._path} is not a match store: it is no database at all."
        if primary == sqlite3.SQLITE_CANTOPEN:
            parent = self._path.parent
            if not parent.is_dir():
                return f"{self._path} cannot be made: the folder {parent} does not exist."
            writable = os.access(parent, os.W_OK)
            return f"{self._path} cannot be opened" + ("." if writable else f": {parent} is not writable.")
        if primary == sqlite3.SQLITE_READONLY:
            return f"{self._path} cannot be written to."
        return f"{self._path} cannot be used: {error}."
