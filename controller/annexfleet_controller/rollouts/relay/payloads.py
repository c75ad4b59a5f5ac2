"""A module as the plugin has it, to what a device is asked to run and the files that it may lack."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from annexfleet_agent.protocol.envelope import Module
from annexfleet_controller.rollouts.modules import Payloads, pack
from annexfleet_controller.rollouts.relay.errand import Files


class NotAModule(ValueError):
    """The plugin's call lacks something."""


class _Call(Struct, frozen=True):
    """`rollouts.ansiballz.Call`, as it comes from the plugin."""

    zip_data: str
    fqn: str
    params: str
    profile: str
    extensions: str
    rlimit_nofile: int
    environment: dict[str, str]
    interpreter: str
    as_root: bool = False


def module_of(payloads: Payloads, call: Mapping[str, Any] | None) -> tuple[Module, Mapping[str, bytes]]:
    """The module with manifest and files, and the files' contents by digest.  Raises NotAModule, and PayloadWrong."""
    try:
        known = msgspec.convert(call, _Call)
    except msgspec.ValidationError as error:
        raise NotAModule(str(error)) from None
    split = payloads.split(known.zip_data)
    module = Module(
        files=split.files,
        manifest=split.manifest,
        fqn=known.fqn,
        params=known.params,
        profile=known.profile,
        extensions=known.extensions,
        rlimit_nofile=known.rlimit_nofile,
        interpreter=known.interpreter,
        environment=known.environment,
        as_root=known.as_root,
    )
    return module, split.contents


def files_of(contents: Mapping[str, bytes]) -> Files:
    """What answers a device that lacks files of a module."""
    return lambda missing: _packed(tuple((digest, contents[digest]) for digest in missing))


@lru_cache(maxsize=16)
def _packed(files: tuple[tuple[str, bytes], ...]) -> bytes:
    """Deflating all of ansible's base takes 0.1 s, and all devices of a run lack the same."""
    return pack(dict(files), [digest for digest, _ in files])
