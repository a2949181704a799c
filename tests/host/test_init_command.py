"""`firmshake init` as it is typed: what it prints, where, and with which exit status."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from firmshake import project
from firmshake.cli import main, passphrase
from firmshake.errors import Error
from firmshake.project import Broker, Wifi

SECRET = "correct horse"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["firmshake", *map(str, words)])
        try:
            main()
            status = 0
        except SystemExit as leave:
            status = int(leave.code or 0)
        out, err = capfd.readouterr()
        return status, out, err

    return call


def _pipe(content: str | bytes) -> int:
    """A descriptor from which `content` can be read; what reads it may leave it open."""
    reading, writing = os.pipe()
    os.write(writing, content if isinstance(content, bytes) else content.encode())
    os.close(writing)
    return reading


def test_it_makes_a_project_and_says_what_and_what_next(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "green house"
    fd = _pipe(SECRET + "\n")
    status, out, err = run("init", folder, "--broker", "mqtt.example", "--passphrase-fd", fd)
    assert status == 0
    assert "broker mqtt.example:8883" in out
    assert f"(cd '{folder}/broker' && mosquitto -c mosquitto.conf)" in err
    assert SECRET not in out + err
    made = project.load(folder)
    assert made.broker == Broker("mqtt.example", 8883, "mqtt.example")
    assert project.open_authority(made, SECRET.encode())


def test_every_option_arrives(run: Run, tmp_path: Path) -> None:
    words = ["--broker", "[::1]:99", "--broker-name", "b.example", "--name", "n", "--ntp", "a.b"]
    words += ["--ntp", "192.0.2.1", "--wifi-ssid", "shed"]
    both = _pipe(f"eight or more\n{SECRET}\n")
    fds = ["--wifi-password-fd", both, "--passphrase-fd", both]
    status, out, err = run("init", tmp_path / "a", *words, *fds)
    assert status == 0
    made = project.load(tmp_path / "a")
    assert made.name == "n"
    assert made.broker == Broker("::1", 99, "::1")
    assert made.ntp == ("a.b", "192.0.2.1")
    assert made.wifi == Wifi("shed", "eight or more")
    assert "eight or more" not in out + err
    assert project.open_authority(made, SECRET.encode())


def test_it_takes_the_folder_where_one_stands(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("init", "--broker", "a.example", "--passphrase-fd", _pipe(SECRET))[0] == 0
    assert Path("fleet.toml").exists()
    assert project.load(Path()).name == tmp_path.name


def test_a_second_run_is_refused_before_the_passphrase_is_read(run: Run, tmp_path: Path) -> None:
    assert run("init", tmp_path, "--broker", "a", "--passphrase-fd", _pipe(SECRET))[0] == 0
    again = _pipe(SECRET)
    status, out, err = run("init", tmp_path, "--broker", "a", "--passphrase-fd", again)
    assert (status, out) == (1, "")
    assert "already holds fleet.toml" in err
    assert os.read(again, 100) == SECRET.encode()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--broker"),
        (["--broker", "a:0"], "no port from 1 to 65535"),
        (["--broker", "mqtts://a"], "names no server"),
        (["--broker", "a", "--ntp", "x y"], "--ntp"),
        (["--broker", "a", "--broker-name", "*.a"], "--broker-name"),
        (["--broker", "a", "--wifi-ssid", "x" * 33], "--wifi-ssid"),
        (["--broker", "a", "--wifi-password-fd", "0"], "needs --wifi-ssid"),
        (["--broker", "a", "--passphrase-fd", "987"], "file descriptor 987"),
        (["--broker", "a", "--passphrase-fd", "-1"], "file descriptor -1"),
        (["--broker", "a", "--passphrase-fd", str(2**40)], "file descriptor"),
        (["--broker", "a", "--passphrase", "secret"], "No such option"),
        (["--broker", "a"], "no terminal to ask"),
    ],
)
def test_wrong_usage_is_status_2_and_makes_nothing(
    run: Run, tmp_path: Path, words: list[str], said: str
) -> None:
    status, out, err = run("init", tmp_path / "a", *words)
    assert (status, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [("", "empty"), ("\n", "empty"), ("abc+def", "too short"), ("x" * 2000, "longer than")],
)
def test_a_passphrase_that_will_not_do_is_refused_and_not_shown(
    run: Run, tmp_path: Path, given: str, said: str
) -> None:
    fd = _pipe(given)
    status, out, err = run("init", tmp_path / "a", "--broker", "a", "--passphrase-fd", fd)
    assert (status, out) == (2, "")
    assert f"passphrase is {said}" in err
    assert not given.strip() or given.strip() not in err
    assert list(tmp_path.iterdir()) == []


def test_at_a_terminal_a_new_passphrase_is_asked_for_until_it_will_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["abc+def", "password123", "x" * 2000, SECRET, "another one", SECRET, SECRET, "more"]
    answers = iter(typed)
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda _: next(answers))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert passphrase.ask(None, confirm=True) == SECRET.encode()
    assert list(answers) == ["more"]
    said = capsys.readouterr().err
    for why in (
        "Error: the CA passphrase is too short: use 8 characters or more\n",
        "Error: the CA passphrase is among the first that are tried: ",
        "Error: the CA passphrase is longer than 1023 bytes\n",
        "Error: The two entered values do not match.\n",
    ):
        assert why in said
    assert not any(text in said for text in typed[:-1])


def test_at_a_terminal_another_passphrase_is_asked_for_again_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for typed, got in (["abc+def", SECRET, SECRET], SECRET.encode()), (["abc+def", ""], None):
        answers = iter(typed)
        monkeypatch.setattr("click.termui.hidden_prompt_func", lambda _, each=answers: next(each))
        assert passphrase.ask_other("root CA passphrase", confirm=True) == got
        assert "the root CA passphrase is too short" in capsys.readouterr().err
        assert not list(answers)


@pytest.mark.parametrize(("host", "here"), [("127.0.0.1", True), ("mqtt.example", False)])
def test_how_to_go_on_without_boards_is_told_where_the_broker_is_here(
    run: Run, tmp_path: Path, host: str, here: bool
) -> None:
    fd = _pipe(SECRET + "\n")
    _, _, err = run("init", tmp_path / "a", "--broker", host, "--passphrase-fd", fd)
    assert (f"(cd {tmp_path / 'a'} && firmshake virtual)" in err) is here
    assert "firmshake provision PORT" in err


def test_a_wrong_wifi_password_is_refused_and_not_shown(run: Run, tmp_path: Path) -> None:
    fd = _pipe("seven77\n" + SECRET)
    words = ["--wifi-ssid", "s", "--wifi-password-fd", fd, "--passphrase-fd", fd]
    status, out, err = run("init", tmp_path / "a", "--broker", "a", *words)
    assert (status, out) == (2, "")
    assert "Wi-Fi password has to be" in err
    assert "seven77" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "read"),
    [(b"a b \n", b"a b "), (b"no newline", b"no newline"), (b"dos end\r\n", b"dos end")],
)
def test_the_line_is_taken_without_its_end_and_with_its_spaces(given: bytes, read: bytes) -> None:
    assert passphrase.ask(_pipe(given)) == read


def test_a_passphrase_that_exists_may_be_short() -> None:
    assert passphrase.ask(_pipe("short")) == b"short"
    with pytest.raises(Error, match="too short"):
        passphrase.ask(_pipe("short"), confirm=True)
