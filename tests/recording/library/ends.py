"""Ends in the way it is asked to."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

from ansible.module_utils.basic import AnsibleModule

KEPT = []


def _thread(path):
    time.sleep(0.2)
    with open(path, "w", encoding="utf-8") as file:
        file.write("the thread was waited for")


def _daemon(path):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            nothing = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nothing, descriptor)
            with open(path + ".part", "w", encoding="utf-8") as file:
                file.write(str(os.getpid()))
            os.rename(path + ".part", path)
            signal.pause()
        os._exit(0)
    os.wait()


def _open(path):
    KEPT.append(open(path, "w", encoding="utf-8"))  # noqa: SIM115  # whether it is written out is the question
    KEPT[0].write("written out")


def main():
    module = AnsibleModule(argument_spec={"how": {"type": "str"}, "path": {"type": "str"}})
    how, path = module.params["how"], module.params["path"]
    if how == "raises":
        raise KeyError("é ع", path)
    if how == "falls through":
        return
    if how == "fails":
        module.fail_json(msg="no such thing: Ouarzazate ورزازات", path=path)
    if how == "exits at once":
        os.write(1, b'{"changed": true}\n')
        os._exit(7)
    if how == "exits with words":
        sys.exit("words")
    if how == "exits with 300":
        sys.exit(300)
    if how == "is killed":
        os.kill(os.getpid(), signal.SIGTERM)
    if how == "crashes":
        ctypes.string_at(0)
    if how == "is interrupted":
        raise KeyboardInterrupt
    if how == "prints much":
        sys.stderr.write("e" * 300_000)
        module.exit_json(changed=False, much="ورزازات" * 500_000)
    if how == "leaves a thread":
        threading.Thread(target=_thread, args=(path,)).start()
    if how == "leaves a file open":
        _open(path)
    if how == "daemonises":
        _daemon(path)
    if how == "closes its output":
        os.write(1, b'{"changed": false}\n')
        os.close(1)
        sys.stdout.write("lost")
        sys.exit(0)
    if how == "takes its time":
        subprocess.Popen(["sleep", "1000"])
        subprocess.Popen(["setsid", "sleep", "1000"])
        with open(path, "w", encoding="utf-8") as file:
            file.write("began")
        time.sleep(1000)
    module.exit_json(changed=True, how=how)


if __name__ == "__main__":
    main()
