"""Many who sign in at once: nobody guesses more often by it, and nobody is kept out by the others."""

import threading
from collections import Counter
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from tests.controller.site import Site

from annexfleet_controller.access import guessing, passwords, signing_in
from annexfleet_controller.access.errors import SignInRefused, TooManyAttempts


def at_once(count: int, work: Callable[[int], str]) -> Counter[str]:
    """What so many threads met, all let go at the same moment."""
    met: list[str] = []
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait()
        try:
            met.append(work(number))
        except (SignInRefused, TooManyAttempts) as refused:
            met.append(refused.code)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(met)


@pytest.fixture
def most_at_once(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many passwords were being checked at the same moment, at most."""
    counting, now, most = threading.Lock(), [0], [0]
    real = passwords._hasher

    class Counted:
        hash = real.hash

        def verify(self, *arguments: str) -> bool:
            with counting:
                now[0] += 1
                most[0] = max(most[0], now[0])
            try:
                return real.verify(*arguments)
            finally:
                with counting:
                    now[0] -= 1

    monkeypatch.setattr(passwords, "_hasher", Counted())
    return most


def test_guesses_at_the_same_moment_count_one_another(site: Site, most_at_once: list[int]):
    site.person("clerk")

    met = at_once(
        24, lambda n: signing_in.sign_in(site.engine, "clerk", f"guess {n}", address="192.0.2.9", now=site.clock.now())
    )

    assert met["sign_in_refused"] <= guessing.FREE_BY_BOTH
    assert met["sign_in_refused"] + met["too_many_attempts"] == 24
    assert most_at_once[0] <= passwords.AT_ONCE


def test_a_crowd_beyond_the_queue_is_sent_away_and_told_when_to_come_again():
    with passwords.turn():
        for _ in range(passwords.WAITING - 1):
            passwords._queue.acquire()
        try:
            with pytest.raises(TooManyAttempts) as refused, passwords.turn():
                pass
        finally:
            passwords._queue.release(passwords.WAITING - 1)

    assert refused.value.facts["wait_s"] > 0
    with passwords.turn():
        pass


def come_in(client: TestClient, name: str, password: str) -> int:
    return client.post("/sign-in", data={"name": name, "password": password}).status_code


def test_who_fails_keeps_nobody_else_out_behind_the_same_address(site: Site, monkeypatch: pytest.MonkeyPatch):
    password = site.person("clerk")
    monkeypatch.setattr(passwords, "fits", lambda password_hash, given: password_hash is not None and given == password)
    for number in range(40):
        come_in(site.visitor(), f"nobody-{number}", "guess")

    assert come_in(site.visitor(), "clerk", password) == 303


def test_who_guesses_at_a_name_does_not_keep_its_owner_out(site: Site):
    password = site.person("clerk")
    for _ in range(5):
        with pytest.raises(SignInRefused):
            signing_in.sign_in(site.engine, "clerk", "guess", address="192.0.2.66", now=site.clock.now())

    with pytest.raises(TooManyAttempts):
        signing_in.sign_in(site.engine, "clerk", password, address="192.0.2.66", now=site.clock.now())
    assert signing_in.sign_in(site.engine, "clerk", password, address="192.0.2.1", now=site.clock.now())
    with pytest.raises(TooManyAttempts):  # the owner's success is not the guesser's
        signing_in.sign_in(site.engine, "clerk", password, address="192.0.2.66", now=site.clock.now())
