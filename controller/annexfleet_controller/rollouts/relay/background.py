"""What may wait (the signer, the database) is asked in a few threads, and the answer taken up in the loop's own."""

import logging
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

log = logging.getLogger(__name__)

_THREADS = 4
_T = TypeVar("_T")


class Background:
    """`fileno` is readable while answers wait."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="ask")
        self._answers: deque[Callable[[], object]] = deque()
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        return self._read

    def ask(self, question: Callable[[], _T], answered: Callable[[_T], object], failed: Callable[[], object]) -> None:
        """Do this elsewhere, then one of the others here."""
        self._pool.submit(self._do, question, answered, failed)

    def run_answers(self) -> None:
        """Take up what was answered meanwhile."""
        try:
            while os.read(self._read, 4096):
                pass
        except BlockingIOError:
            pass
        while self._answers:
            self._answers.popleft()()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._answers.clear()
        os.close(self._read)
        os.close(self._write)

    def _do(self, question: Callable[[], _T], answered: Callable[[_T], object], failed: Callable[[], object]) -> None:
        try:
            answer = question()
        except Exception:
            # The fence around one question: the relay goes on, and whoever asked is told.
            log.exception("a question was not answered")
            self._answers.append(failed)
        else:
            self._answers.append(lambda: answered(answer))
        with suppress(BlockingIOError):  # then it is readable already
            os.write(self._write, b"\0")
