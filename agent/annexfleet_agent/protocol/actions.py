"""The classes of action for which a key may sign; apart from `envelope`, which the resident agent does not load."""

from typing import Literal, get_args

ActionClass = Literal["run", "command"]
ACTION_CLASSES: tuple[ActionClass, ...] = get_args(ActionClass)
