"""What `firmshake provision` refuses before it looks at a board: a line what, a line what to do."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from support import desk

from firmshake.cli import main
from firmshake.project import Project
from firmshake.registry import Registry


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return desk.make_project(tmp_path_factory.mktemp("command") / "fleet")


@pytest.fixture
def made(intact: Project, tmp_path: Path) -> Path:
    """The folder of a project that may be spoilt."""
    import shutil

    return Path(shutil.copytree(intact.root, tmp_path / "fleet"))


class Run:
    """Runs the command line in this process."""

    def __init__(self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capfd, self._monkeypatch = capfd, monkeypatch

    def __call__(
        self, *arguments: str | Path, passphrase: bytes = desk.PASSPHRASE
    ) -> tuple[int, str, str]:
        """Exit status, what and hint."""
        with desk.typed(passphrase) as fd:
            words = ["firmshake", "provision", *map(str, arguments), "--passphrase-fd", str(fd)]
            self._monkeypatch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as left:
                main()
        said = self._capfd.readouterr()
        assert said.out == ""
        assert "Traceback" not in said.err
        assert "correct horse" not in said.err
        assert "the shed's password" not in said.err
        what, hint = said.err.splitlines()[-2:]
        assert isinstance(left.value.code, int)
        return left.value.code, what.removeprefix("firmshake: "), hint.strip()


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(capfd, monkeypatch)


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "name is missing"),
        (b"name = ", "Invalid value"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"name = 'x'\nport = 1\n", "unknown key 'port'"),
        (b"name = 'x'\n[broker]\nhost = 5\n", "broker.host must be"),
        (b"name = 'x'\n[broker]\nhost = 'b.example'\nport = '8883'\n", "broker.port must be"),
        (b"name = 'x'\n[broker]\nhost = 'b.example'\n[wifi]\npassword = 'secretsecret'\n", "ssid"),
        (b"a = " + b"[" * 9999, "nested too deeply"),
        (b"#" * (2 << 20), "too large"),
    ],
)
def test_a_fleet_toml_that_is_wrong(run: Run, made: Path, content: bytes, message: str) -> None:
    (made / "fleet.toml").write_bytes(content)
    before = files(made)
    status, what, hint = run("--project", made, "/dev/absent")
    assert status == 1
    assert what.startswith(str(made / "fleet.toml"))
    assert message in what
    assert hint
    assert "secretsecret" not in what + hint
    assert files(made) == before


def test_a_fleet_toml_that_cannot_be_read(run: Run, made: Path) -> None:
    settings = made / "fleet.toml"
    settings.unlink()
    assert run("--project", made, "/dev/absent")[1:] == (
        f"no project in {made}: it has no fleet.toml",
        "make one with: firmshake init FOLDER --broker HOST",
    )
    settings.mkdir()
    assert "is a directory" in run("--project", made, "/dev/absent")[1]
    assert "not a directory" in run("--project", made / "registry.sqlite", "/dev/absent")[1]
    settings.rmdir()
    settings.symlink_to("fleet.toml")
    assert "can't read" in run("--project", made, "/dev/absent")[1]


def test_a_wrong_passphrase(run: Run, made: Path) -> None:
    status, what, hint = run("--project", made, "/dev/absent", passphrase=b"swordfish")
    assert status == 1
    assert "passphrase" in what
    assert hint
    assert "swordfish" not in what + hint


@pytest.mark.parametrize("name", ["ca/root.crt", "ca/intermediate.crt", "ca/intermediate.key"])
@pytest.mark.parametrize("spoil", [os.unlink, lambda path: path.write_bytes(b"junk")])
def test_a_ca_that_is_damaged(run: Run, made: Path, name: str, spoil: object) -> None:
    assert callable(spoil)
    spoil(made / name)
    status, what, hint = run("--project", made, "/dev/absent")
    assert status == 1
    assert name in what
    assert hint


@pytest.mark.parametrize("spoil", [os.unlink, lambda path: path.write_bytes(b"junk")])
def test_a_registry_that_is_none(run: Run, made: Path, spoil: object) -> None:
    assert callable(spoil)
    spoil(made / "registry.sqlite")
    status, what, hint = run("--project", made, "/dev/absent")
    assert status == 1
    assert "registry" in what
    assert hint


def test_a_port_that_is_absent_costs_nothing(run: Run, made: Path) -> None:
    assert run("--project", made, "/dev/absent") == (
        1,
        "there is no port /dev/absent",
        "check the cable and the port's name",
    )
    assert Registry.open(made / "registry.sqlite").devices() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--virtual", "/dev/absent"],
        ["/dev/absent", "--sha256", "0" * 64],
        ["/dev/absent", "--firmware", "x", "--sha256", "xyz"],
    ],
)
def test_options_that_do_not_go_together(run: Run, made: Path, arguments: list[str]) -> None:
    assert run("--project", made, *arguments)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--id", "a b"], "'a b' can't be a device id"),
        (["--id", "x" * 65], "has 65 characters"),
        (["--timeout", "nan"], "nan"),
        (["--timeout", "inf"], "inf"),
        (["--timeout", "0"], "range"),
        (["--baud", "99999999999"], "range"),
        (["--bogus"], "--bogus"),
    ],
)
def test_wrong_usage_has_its_own_status(
    run: Run, made: Path, arguments: list[str], word: str
) -> None:
    status, _, complaint = run("--project", made, "/dev/absent", *arguments)
    assert status == 2
    assert word in complaint
