"""Addresses that came from a browser."""

import re

_OWN_PATH = re.compile(r"/(?![/\\])[\w\-./~%]*")


def own_path(path: str) -> str:
    """A path of this site, or `/`: a link must not lead elsewhere."""
    return path if _OWN_PATH.fullmatch(path) else "/"
