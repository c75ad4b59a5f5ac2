"""The process that lays out one document: HTML on stdin, PDF on stdout; the only module that imports WeasyPrint."""

import logging
import os
import resource
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

MOST_MEMORY_BYTES = 2_000_000_000
"""Of addresses, of which WeasyPrint uses a fraction."""
MOST_CPU_S = 60

_TYPES = {".css": "text/css", ".woff2": "font/woff2", ".svg": "image/svg+xml"}


def main() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_S, MOST_CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(10)  # pages and ingest come first
    static = Path(sys.argv[1]).resolve()
    html = sys.stdin.buffer.read().decode()
    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    sys.stdout.buffer.write(laid_out(html, static))
    sys.stdout.buffer.flush()
    return 0


def laid_out(html: str, static: Path) -> bytes:
    """The PDF.  What cannot be loaded is left out, as in a browser."""
    from weasyprint import HTML  # type: ignore[import-untyped]  # noqa: PLC0415  # it takes half a second and 60 MB
    from weasyprint.urls import URLFetcher, URLFetcherResponse  # type: ignore[import-untyped]  # noqa: PLC0415

    class Static(URLFetcher):  # type: ignore[misc]  # it comes without types
        """Files of our static directory, and nothing else in the world."""

        def fetch(self, url: str, headers: Any = None) -> Any:
            file = found(url, static)
            return URLFetcherResponse(url, file.read_bytes(), {"Content-Type": _TYPES[file.suffix]})

    document = HTML(string=html, base_url="static:report.html", url_fetcher=Static())
    pdf: bytes = document.write_pdf(pdf_tags=True)
    return pdf


def found(url: str, static: Path) -> Path:
    """The file that an address `static:...` means.  Raises ValueError for any other address, and for no such file."""
    scheme, _, name = url.partition(":")
    if scheme != "static":
        raise ValueError(f"not ours: {url[:100]}")
    file = (static / unquote(name).lstrip("/")).resolve()
    if not file.is_relative_to(static) or file.suffix not in _TYPES or not file.is_file():
        raise ValueError(f"no such file of ours: {url[:100]}")
    return file


if __name__ == "__main__":
    sys.exit(main())
