import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.local import paths
from deploy.local.processes import Child, ChildFailed, Group

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]


def child(tmp_path, name="sleeper", argv=SLEEP, **options):
    return Child(name, argv, tmp_path / f"{name}.log", **options)


def is_alive(pid):
    """Zombies, whom nobody has reaped yet, have ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(check, seconds=10):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def watch_for_a_while(group):
    for _ in range(200):
        group.watch()
        time.sleep(0.02)


def test_leaving_a_group_stops_all_of_it_last_started_first(tmp_path):
    note = "import signal,sys,time\ndef bye(*_): open('order','a').write('{0}');sys.exit()\n"
    note += "signal.signal(signal.SIGTERM,bye); open('{0}.up','w'); time.sleep(60)"
    with Group() as group:
        for name in ("a", "b", "c"):
            group.start(
                child(
                    tmp_path,
                    name,
                    [sys.executable, "-S", "-c", note.format(name)],
                    cwd=tmp_path,
                    ready=(tmp_path / f"{name}.up").exists,
                )
            )

    assert (tmp_path / "order").read_text() == "cba"


def test_a_child_that_exits_at_once_is_reported_with_its_last_words(tmp_path):
    broken = child(tmp_path, argv=[sys.executable, "-S", "-c", "raise SystemExit('no such thing')"])
    broken.ready = lambda: False

    with pytest.raises(ChildFailed, match=r"sleeper exited with 1(.|\n)*no such thing"):
        broken.start()


def test_a_child_that_never_gets_ready_is_stopped(tmp_path):
    slow = child(tmp_path, ready=lambda: False, start_seconds=0.2)

    with pytest.raises(ChildFailed, match="was not ready"):
        slow.start()

    assert not slow.is_running()


def test_one_that_ignores_the_signal_is_killed_with_its_own_children(tmp_path, capsys):
    stubborn = (
        "import signal,subprocess,sys,time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "inner = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)'])\n"
        "open('inner.pid','w').write(str(inner.pid)); time.sleep(60)"
    )
    pid_file = tmp_path / "inner.pid"
    started = child(
        tmp_path,
        argv=[sys.executable, "-S", "-c", stubborn],
        cwd=tmp_path,
        ready=lambda: pid_file.exists() and pid_file.read_text() != "",
        stop_seconds=0.3,
    )
    started.start()
    inner = int(pid_file.read_text())

    started.stop()

    wait_until(lambda: not is_alive(inner))
    assert "did not stop" in capsys.readouterr().err


def test_stopping_twice_is_no_error(tmp_path):
    started = child(tmp_path)
    started.start()

    started.stop()
    started.stop()


def test_who_dies_is_started_again(tmp_path):
    with Group(say=lambda _: None) as group:
        victim = group.start(child(tmp_path))
        first = victim.pid
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: not victim.is_running())

        group.watch()

        assert victim.is_running()
        assert victim.pid != first


def test_who_keeps_dying_is_given_up_with_its_log(tmp_path):
    crash = child(tmp_path, argv=[sys.executable, "-S", "-c", "raise SystemExit('again')"])
    with Group(say=lambda _: None) as group:
        group.adopt(crash)
        with pytest.raises(ChildFailed, match=r"keeps exiting(.|\n)*again"):
            watch_for_a_while(group)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_child_outlives_its_parent(tmp_path, number):
    code = (
        "import signal,sys,time\nfrom pathlib import Path\n"
        "from deploy.local.processes import Child, Group, exit_on_signals\n"
        "exit_on_signals()\n"
        # A shell that puts the tests in the background has them ignore Ctrl-C.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with Group() as group:\n"
        f"    started = group.start(Child('s', {SLEEP!r}, Path({str(tmp_path / 's.log')!r})))\n"
        "    time.sleep(0.2)\n"
        "    print(started.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=paths.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as parent:
        inner = int(parent.stdout.readline())
        parent.send_signal(number)
        parent.wait(15)

    wait_until(lambda: not is_alive(inner))
