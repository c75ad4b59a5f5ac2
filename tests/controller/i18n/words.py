"""What the catalogues hold, for the tests of this room."""

from functools import cache
from pathlib import Path

from babel.messages import pofile

import annexfleet_controller
from annexfleet_controller.i18n.catalogues import catalogue_file

ROOM = Path(annexfleet_controller.__file__).parent


@cache
def msgids(code: str) -> set[tuple[str | None, str]]:
    with catalogue_file(code).open("rb") as file:
        read = pofile.read_po(file, locale=code, abort_invalid=True)
    return {(m.context, m.id if isinstance(m.id, str) else m.id[0]) for m in read if m.id}


def source_of(*files: str) -> str:
    return "".join((ROOM / file).read_text(encoding="utf-8") for file in files)
