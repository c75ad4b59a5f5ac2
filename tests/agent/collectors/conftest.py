"""psutil reads a simulated machine's /proc too, where a test asks for it."""

import psutil
import pytest


@pytest.fixture
def proc(tmp_path, monkeypatch):
    """psutil reads `tmp_path/proc`; what it does not ask there, a test replaces with `psutil_says`."""
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path / "proc"))
    forget = psutil.process_iter.cache_clear
    forget()
    yield
    forget()
