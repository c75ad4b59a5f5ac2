"""Tells everything about the process in which it runs that a module could depend on."""

import locale
import os
import random
import resource
import select
import signal
import socket
import sys
import threading
import time

from ansible.module_utils.basic import AnsibleModule


def signals():
    handlers = {int(number): str(signal.getsignal(number)) for number in signal.valid_signals()}
    masked = sorted(int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, []))
    return {"handlers": handlers, "masked": masked, "wakeup": signal.set_wakeup_fd(-1)}


def stream(name):
    one = getattr(sys, name)
    return [
        one.encoding, one.errors, one.line_buffering, one.write_through, one.newlines, one.name, one.mode, one.fileno(),
        one.closed, one.buffer.raw.closefd, one is getattr(sys, f"__{name}__"), one.buffer.raw.mode,
    ]  # fmt: skip


def environment_of_a_child():
    with os.popen("env -0") as pipe:
        return sorted(pipe.read().split("\0"))


def main():
    module = AnsibleModule(argument_spec={"text": {"type": "str"}, "n": {"type": "int"}})
    descriptors = sorted(os.listdir("/proc/self/fd"))
    main_module = sys.modules["__main__"]
    with open("/proc/self/status", encoding="utf-8") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    module.exit_json(
        changed=False,
        text=module.params["text"],
        environment=dict(os.environ),
        environment_of_a_child=environment_of_a_child(),
        directory=os.getcwd(),
        umask=os.umask(0o022),
        limits={
            name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT")
        },
        argv=[os.path.basename(part) for part in sys.argv],
        orig_argv=getattr(sys, "orig_argv", None),
        executable=sys.executable,
        path=sys.path[1:],
        flags=str(sys.flags),
        prefix=sys.prefix,
        encodings=[sys.getfilesystemencoding(), sys.getfilesystemencodeerrors(), locale.getpreferredencoding(False)],
        locales=[locale.setlocale(category) for category in (locale.LC_CTYPE, locale.LC_TIME, locale.LC_MESSAGES)],
        streams=[stream(name) for name in ("stdin", "stdout", "stderr")],
        stdin=[sys.stdin.read(), bool(select.select([0], [], [], 0)[0])],
        descriptors=len(descriptors),
        signals=signals(),
        leads_session=os.getsid(0) == os.getpid(),
        threads=[str(one.name) for one in threading.enumerate()],
        is_main_thread=threading.current_thread() is threading.main_thread(),
        ids=[os.getuid(), os.geteuid(), os.getgid(), os.getgroups(), status["CapEff"], status["NoNewPrivs"]],
        nice=os.nice(0),
        zone=[time.tzname, time.timezone],
        recursion=sys.getrecursionlimit(),
        default_timeout=socket.getdefaulttimeout(),
        hooks=[sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__, str(sys.gettrace())],
        main=[main_module.__name__, hasattr(main_module, "_module_fqn"), os.path.basename(main_module.__file__)],
        random=[random.random(), random.getrandbits(64)],
    )


if __name__ == "__main__":
    main()
