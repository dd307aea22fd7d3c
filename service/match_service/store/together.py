"""Many threads' small writes as one: the disk is waited for once, not once for each."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from match_service.errors import StoreUnavailableError

Item = TypeVar("Item")


@dataclass(eq=False, slots=True)
class _Ticket(Generic[Item]):
    item: Item
    done: bool = False
    error: Exception | None = None


class Together(Generic[Item]):
    """Calls ``write`` with whatever has come together while the last call was under way."""

    def __init__(self, write: Callable[[Sequence[Item]], object]) -> None:
        self._write = write
        self._waiting: list[_Ticket[Item]] = []
        self._waiting_lock = threading.Lock()
        self._turn = threading.Lock()

    def put(self, item: Item) -> None:
        """Return once ``item`` was written, or raise what kept it from being written."""
        ticket = _Ticket(item)
        with self._waiting_lock:
            self._waiting.append(ticket)
        with self._turn:
            if not ticket.done:
                with self._waiting_lock:
                    tickets, self._waiting = self._waiting, []
                self._settle(tickets)
        if ticket.error is not None:
            raise ticket.error
        if not ticket.done:
            raise RuntimeError("The thread that was writing for this one was stopped.")

    def _settle(self, tickets: list[_Ticket[Item]]) -> None:
        try:
            self._write([ticket.item for ticket in tickets])
        except Exception as error:  # noqa: BLE001 - raised where it belongs
            if len(tickets) == 1 or isinstance(error, StoreUnavailableError):
                for ticket in tickets:
                    ticket.error = error
            else:  # one of them is to blame; the others shall not suffer
                for ticket in tickets:
                    self._settle([ticket])
        for ticket in tickets:
            ticket.done = True
