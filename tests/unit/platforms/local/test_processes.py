import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests.unit.serving.tiny import until
from trimtab.errors import Unavailable
from trimtab.platforms.local import processes

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
IGNORE = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
STUBBORN = [sys.executable, "-c", IGNORE]
# A supervisor that starts one child and sleeps; it prints the child's pid.
PARENT = """
import sys, time, pathlib
from trimtab.platforms.local import processes
state = pathlib.Path(sys.argv[1])
child = processes.start(sys.argv[2:], state / "log", {"TRIMTAB_STATE": str(state)})
print(child.pid, flush=True)
time.sleep(60)
"""


def runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def start(tmp_path, command):
    process = processes.start(command, tmp_path / "logs" / "log", {processes.STATE_VARIABLE: str(tmp_path)})
    until(lambda: processes.last_line(tmp_path / "logs" / "log") == "up")
    return process


def test_a_process_writes_its_log_and_ends_on_request(tmp_path):
    process = start(tmp_path, SLEEP)
    assert processes.alive(process)
    processes.stop(process, grace=3)
    assert process.returncode == -signal.SIGTERM


def test_a_stubborn_process_is_killed(tmp_path):
    process = start(tmp_path, STUBBORN)
    processes.stop(process, grace=0.2)
    assert process.returncode == -signal.SIGKILL


def test_a_program_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(Unavailable, match="'no-such-program' could not be started"):
        processes.start(["no-such-program"], tmp_path / "log", {})


def test_a_child_ends_with_a_supervisor_that_was_killed(tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), *SLEEP], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert runs(child)
    parent.kill()
    parent.wait()
    until(lambda: not runs(child), 5)


def test_leftovers_of_this_state_folder_are_ended_and_no_others(tmp_path):
    mine, other = tmp_path / "mine", tmp_path / "other"
    found = {}
    for folder, command in ((mine, STUBBORN), (other, SLEEP)):
        folder.mkdir()
        # A grandchild that forgets its parent: started by a shell that ends at once.
        script = f'"$@" > {folder}/log 2>&1 & echo $!'
        environment = {**os.environ, processes.STATE_VARIABLE: str(folder)}
        shell = subprocess.run(["/bin/sh", "-c", script, "sh", *command], env=environment, stdout=subprocess.PIPE, text=True, check=True)
        found[folder] = int(shell.stdout)
        until(lambda folder=folder: processes.last_line(folder / "log") == "up")
    own = start(mine, SLEEP)
    assert processes.end_leftovers(mine, grace=0.5) == 1
    assert not runs(found[mine])
    assert runs(found[other])
    assert processes.alive(own), "our own children are no left-overs"
    os.kill(found[other], signal.SIGTERM)
    processes.stop(own, 1)
