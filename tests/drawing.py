"""How many examples a property is tried on: a share of them in each run, all of them in `deploy/test --trials`."""

from hypothesis import HealthCheck, settings

_SHARE = 0.4
"""Of the examples that are drawn in each run; what is drawn differs from run to run."""


def register() -> None:
    """The two profiles; `house` holds unless `--hypothesis-profile=trials` says otherwise."""
    # Several tests run beside each other on two cores: how long drawing takes says nothing about the code.
    settings.register_profile(
        "trials", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100
    )  # fmt: skip
    settings.register_profile("house", settings.get_profile("trials"), max_examples=round(100 * _SHARE))
    settings.load_profile("house")


def examples(most: int) -> int:
    """For `max_examples`: all of them among the trials, else a share."""
    return most if settings.default.max_examples >= 100 else round(most * _SHARE)  # type: ignore[union-attr]
