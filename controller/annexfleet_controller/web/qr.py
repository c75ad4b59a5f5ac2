"""Codes for telephones' cameras, as SVG within the page: no image is fetched, and paper stays sharp."""

from io import BytesIO

import segno
from markupsafe import Markup


def qr(text: str) -> Markup:
    """A QR code of this text with its quiet zone, black on white whatever the page's colours are."""
    kept = BytesIO()
    made = segno.make_qr(text, error="m")
    made.save(
        kept,
        kind="svg",
        xmldecl=False,
        svgns=False,
        omitsize=True,
        border=4,
        dark="#000",
        light="#fff",
        svgclass="qr",
        lineclass=None,
    )
    return Markup(kept.getvalue().decode())  # noqa: S704  # segno writes numbers only; the text is in none of it
