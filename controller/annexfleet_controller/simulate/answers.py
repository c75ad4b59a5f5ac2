"""What a simulated device answers to a run: every task is answered as if it had changed something, and nothing is done.

Ansible asks for modules, for programs (`raw`, and its own temporary directories), and puts and fetches files.  A device
whose release fails answers each module with a failure; one that hangs never answers.
"""

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from annexfleet_agent.protocol.channel import Part
from annexfleet_agent.protocol.envelope import Module, Request, Result
from annexfleet_agent.runner.jobs import Answer, Place

if TYPE_CHECKING:
    from annexfleet_controller.simulate.worse import Worsening

_TEMPORARY = re.compile(r"ansible-tmp-[0-9.]+-[0-9]+-[0-9]+")
_HOME = "/root"
_IS_THERE = frozenset({"/run/systemd/system"})
_ASKS_ONLY = frozenset({
    "ansible.modules.setup", "ansible.modules.stat", "ansible.modules.slurp", "ansible.modules.find",
    "ansible.modules.ping", "ansible.modules.package_facts", "ansible.modules.service_facts", "ansible.modules.getent",
    "ansible.modules.wait_for", "ansible.modules.uri", "ansible.modules.async_status",
})  # fmt: skip
"""They look and change nothing."""


_FACTS = {"distribution": "Debian", "distribution_version": "12", "os_family": "Debian", "system": "Linux"}
_SAYS: dict[str, dict[str, Any]] = {
    "setup": {"ansible_facts": {f"ansible_{fact}": value for fact, value in _FACTS.items()}},
    "find": {"files": [], "matched": 0, "examined": 0},
    "slurp": {"content": "", "encoding": "base64"},
    "ping": {"ping": "pong"},
}
_COMMAND: dict[str, Any] = {"changed": True, "rc": 0, "stderr": "", "start": "", "end": "", "delta": ""}


class Visit:
    """One session of a run on one device."""

    def __init__(self, worsening: "Worsening") -> None:
        self._worsening = worsening
        self._failed = False
        self._changed = False

    @property
    def changed_something(self) -> bool:
        """Whether tasks were answered, and all of them well."""
        return self._changed and not self._failed

    def answer(self, place: Place, request: Request) -> Answer:
        """Raises ValueError if a module is asked for and none is named."""
        if self._worsening.hangs and request.op == "module":
            return _Hanging(place)
        if request.op == "put":
            return _Taken(place, request)
        if request.op == "fetch":
            return _Told(place, Result(error="not_found", detail=request.path))
        if request.op == "exec":
            return _Said(place, _printed(request.argv), ends_with_input=True)
        if request.module is None:
            raise ValueError("a module is missing")
        self._note(request.module)
        return _Said(place, json.dumps(self._outcome(request.module)).encode(), exit_code=int(self._worsening.fails))

    def _note(self, module: Module) -> None:
        self._failed = self._failed or self._worsening.fails
        self._changed = self._changed or module.fqn not in _ASKS_ONLY

    def _outcome(self, module: Module) -> dict[str, Any]:
        if self._worsening.fails:
            return {"failed": True, "changed": False, "msg": "the simulated device fails: play_fails"}
        return outcome(module.fqn, _parameters(module))


class _Hanging(Answer):
    """It ends when whoever asked has waited for too long, or does not want it any more."""

    def start(self) -> None:
        """Nothing follows."""


class _Told(Answer):
    """An answer that is known at once."""

    def __init__(self, place: Place, result: Result) -> None:
        super().__init__(place)
        self._result = result

    def start(self) -> None:
        self.finish(self._result)


class _Said(Answer):
    """Some output, and an exit code: at once, or when all input has come."""

    def __init__(self, place: Place, output: bytes, *, exit_code: int = 0, ends_with_input: bool = False) -> None:
        super().__init__(place)
        self._output, self._exit_code, self._waits = output, exit_code, ends_with_input

    def start(self) -> None:
        if not self._waits:
            self._end()

    def feed(self, part: Part) -> None:
        super().feed(part)
        if self._waits and part.last:
            self._end()

    def lose_input(self) -> None:
        self.cancel("cancelled")

    def _end(self) -> None:
        if self._output:
            self.place.say(Part("output", self.place.number, self._output, last=False))
        self.finish(Result(exit_code=self._exit_code))


class _Taken(Answer):
    """A file that is put: it is compared with what was said of it, and let go."""

    def __init__(self, place: Place, request: Request) -> None:
        super().__init__(place)
        self._request = request
        self._digest, self._size = hashlib.sha256(), 0

    def start(self) -> None:
        """It comes as input."""

    def feed(self, part: Part) -> None:
        super().feed(part)
        self._digest.update(part.data)
        self._size += len(part.data)
        if part.last:
            found = self._digest.hexdigest()
            fits = (found, self._size) == (self._request.sha256, self._request.size_bytes)
            self.finish(Result(sha256=found) if fits else Result(error="digest_differs"))

    def lose_input(self) -> None:
        self.cancel("cancelled")


def outcome(fqn: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """What a module would say on a healthy device on which all was otherwise before."""
    name = fqn.rpartition(".")[2]
    if name == "stat":
        is_there = parameters.get("path") in _IS_THERE
        return {"changed": False, "stat": {"exists": is_there, "isdir": is_there}}
    if name == "command":
        said = str(parameters.get("_raw_params") or " ".join(map(str, parameters.get("argv") or ())))
        return {**_COMMAND, "cmd": said, "stdout": "0" if said == "id -u" else ""}
    return {**_SAYS.get(name, {}), "changed": fqn not in _ASKS_ONLY}


def _printed(argv: list[str]) -> bytes:
    """What Ansible itself asks a shell: where its home is, and for a directory of its own."""
    text = " ".join(argv)
    found = _TEMPORARY.search(text)
    if found is not None and "mkdir" in text:
        return f"{found[0]}={_HOME}/.ansible/tmp/{found[0]}\n".encode()
    if "echo ~" in text:
        return f"{_HOME}\n".encode()
    # A module that Ansible sends whole, as where the controller does not recognise it.
    return json.dumps(outcome("", {})).encode() if "python" in text else b""


def _parameters(module: Module) -> dict[str, Any]:
    try:
        found = json.loads(module.params)
    except ValueError:
        return {}
    inner = found.get("ANSIBLE_MODULE_ARGS", found) if isinstance(found, dict) else {}
    return inner if isinstance(inner, dict) else {}
