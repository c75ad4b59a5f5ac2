__version__ = "0.1.0"
"""As in pyproject.toml; reading it from the installed package would cost 6 MiB of imports."""
