"""The command line as a whole: its help, its exit statuses, and its end by an interruption."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from support import desk

from firmshake import interrupts, registrysetting
from firmshake.cli import COMMANDS, main
from firmshake.cli.commands import firmshake
from firmshake.errors import Error
from firmshake.fleet.planned import Planned
from firmshake.registry import Registry

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def foreground() -> Iterator[None]:
    """No signal is ignored, as it would be in a job in the background."""
    before = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    for number in interrupts.SIGNALS:
        signal.signal(number, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in this process: exit status, standard output and error."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["firmshake", *words])
        with pytest.raises(SystemExit) as left:
            main()
        assert isinstance(left.value.code, int)
        return left.value.code, *capfd.readouterr()

    return call


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes every command raise this."""

    def put(error: BaseException) -> None:
        def command() -> None:
            raise error

        found = click.Command("explain", callback=command)
        monkeypatch.setattr(type(firmshake), "get_command", lambda *_: found)

    return put


def test_the_help_names_every_command(run: Run) -> None:
    status, out, err = run("--help")
    assert (status, err) == (0, "")
    for name, text in COMMANDS.items():
        assert f"  {name} " in out
        assert text.split()[0] in out
    assert run("-h")[1] == out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help(run: Run, name: str) -> None:
    status, out, err = run(name, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"Usage: firmshake {name} [OPTIONS]")
    # what `firmshake --help` says of it opens its own help too, as far as it is the same thing
    assert len(out.splitlines()[2].split()) >= 3
    assert max(map(len, out.splitlines())) <= 80


# what takes long to load; of the dialects, each brings all its drivers
HEAVY = {
    "alembic",
    "cryptography",
    "esptool",
    "littlefs",
    "mpremote",
    "multiprocessing",
    "paho",
    "psycopg",
    "rich",
    "serial",
    "sqlalchemy",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.orm",
}
SQLITE = {"sqlalchemy", "sqlalchemy.dialects.sqlite"}
# a command, and what it needs of that
NEEDS: dict[str, set[str]] = {
    "--help": set(),
    "fleet --help": set(),
    "fleet status --help": set(),
    "fleet status": SQLITE | {"rich"},
    "fleet status --json": SQLITE,
    "fleet check devices.csv": {"rich"},
    "registry show": SQLITE,
    "ca list": SQLITE,
    "boards --project elsewhere": {"rich", "serial"},
    "console --help": {"rich"},
    "explain log": {"rich"},
}


def loaded(folder: Path, *words: str) -> set[str]:
    """What of HEAVY a command loads, from its start to its end."""
    program = (
        "import atexit, sys\n"
        "from firmshake.cli import main\n"
        f"heavy = {HEAVY}\n"
        "atexit.register(lambda: print('LOADED', *heavy.intersection(sys.modules)))\n"
        "main()\n"
    )
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    first, *names = done.stdout.splitlines()[-1].split()
    assert first == "LOADED"
    return set(names)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run, a manifest, and a log that holds nothing."""
    made = desk.make_project(tmp_path_factory.mktemp("loads") / "fleet")
    Registry.open(made.registry_path).plan("bench", "digest", "m.csv", [Planned("gh-1", line=2)])
    (made.root / "devices.csv").write_text("id\ngh-1\n")
    (made.root / "log").write_text("")
    return made.root


@pytest.mark.parametrize("command", NEEDS)
def test_a_command_loads_only_what_it_needs(fleet: Path, command: str) -> None:
    assert loaded(fleet, *command.split()) == NEEDS[command]


def test_a_registry_in_postgresql_loads_nothing_of_sqlites(fleet: Path, tmp_path: Path) -> None:
    settings = (fleet / "fleet.toml").read_text()
    url = "postgresql://firmshake@/fleet?host=/nowhere"
    (tmp_path / "fleet.toml").write_text(registrysetting.written(settings, url))
    needs = {"sqlalchemy", "sqlalchemy.dialects.postgresql", "psycopg"}
    assert loaded(tmp_path, "fleet", "status") == needs


@pytest.mark.parametrize("words", [["bogus"], ["explain", "--bogus"], ["provision", "a", "b"]])
def test_wrong_usage_exits_with_2(run: Run, words: list[str]) -> None:
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert "Error: " in err


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (Error("it broke", "mend it"), 1, ["firmshake: it broke", "  mend it"]),
        (Error("it broke", status=2), 2, ["firmshake: it broke"]),
        (
            OSError(errno.ENOSPC, "No space left on device", "x.toml"),
            1,
            [
                "firmshake: x.toml: no space left on device",
                "  free some space, then run the same command again",
            ],
        ),
        (
            OSError(errno.EMFILE, "Too many open files"),
            1,
            [
                "firmshake: too many open files",
                "  close other programs or raise this limit, then run the same command again",
            ],
        ),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, []),
    ],
)
def test_what_fails_is_told_without_a_traceback(
    *,
    run: Run,
    fail: Callable[[BaseException], None],
    error: BaseException,
    status: int,
    said: list[str],
) -> None:
    fail(error)
    found, out, err = run("explain")
    assert (found, out) == (status, "")
    assert err.splitlines() == said


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_signal_is_told_by_the_status(
    run: Run, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def command() -> None:
        signal.raise_signal(number)

    found = click.Command("explain", callback=command)
    monkeypatch.setattr(type(firmshake), "get_command", lambda *_: found)
    before = [signal.getsignal(one) for one in interrupts.SIGNALS]
    status, _, err = run("explain")
    assert status == 128 + number
    assert err.splitlines()[-1] == "firmshake: interrupted"
    assert [signal.getsignal(one) for one in interrupts.SIGNALS] == before


def test_a_prompt_without_an_answer_is_told(
    run: Run, fail: Callable[[BaseException], None]
) -> None:
    fail(EOFError())
    status, _, err = run("explain")
    assert status == 1
    assert err.splitlines()[-2].startswith("firmshake: no answer")


# interruptions


def test_the_first_interruption_is_raised_and_further_ones_are_not() -> None:
    with interrupts.taken():
        with pytest.raises(interrupts.Interrupted) as caught:
            signal.raise_signal(signal.SIGTERM)
        assert caught.value.number == signal.SIGTERM
        signal.raise_signal(signal.SIGINT)


def test_what_is_held_is_raised_at_the_end() -> None:
    steps = []
    with interrupts.taken(), pytest.raises(interrupts.Interrupted):  # noqa: PT012
        with interrupts.held():
            signal.raise_signal(signal.SIGINT)
            steps.append("noted")
        steps.append("never")
    assert steps == ["noted"]


def test_what_was_ignored_stays_so() -> None:
    """`nohup firmshake ...` and a shell's background jobs."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.taken(), interrupts.held():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("too_soon", [0, 1, 3])
def test_an_interruption_that_python_cannot_raise_comes_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, too_soon: int
) -> None:
    """In a finaliser an exception is lost, and Python prints a traceback of it.

    It may come again so soon, or the machine be so slow, that it can't be raised then either.
    """
    left = too_soon

    class Timer(threading.Timer):
        def start(self) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                super().start()
            else:
                self.function(*self.args)

    monkeypatch.setattr(threading, "Timer", Timer)

    class Thing:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    with interrupts.taken():
        thing = Thing()
        with pytest.raises(interrupts.Interrupted):  # noqa: PT012
            del thing
            ends = time.monotonic() + 60
            while time.monotonic() < ends:
                time.sleep(0.001)
    assert "Traceback" not in capsys.readouterr().err
