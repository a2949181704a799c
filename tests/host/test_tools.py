"""Where programs are looked for, and what is said where there are none."""

import os
from pathlib import Path

import pytest

from firmshake import toolfolder, tools
from firmshake.errors import Error


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tools folder in use."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("FIRMSHAKE_TOOLS", str(folder))
    return folder


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, with no tools folder in use and no system folders behind it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("FIRMSHAKE_TOOLS", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(tools, "SYSTEM_FOLDERS", str(folder))
    return folder


def test_a_noted_program_is_found_without_being_started(noted: Path) -> None:
    toolfolder.write_manifest(noted, {"micropython": [f"{noted}/ld.so", "--argv0", "micropython"]})
    assert tools.micropython() == [f"{noted}/ld.so", "--argv0", "micropython"]


def test_a_tools_folder_may_move(
    noted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolfolder.write_manifest(
        noted, {"mosquitto": [f"{noted}/ld.so", f"{noted}/a:{noted}/b:/usr/lib"]}
    )
    moved = noted.rename(tmp_path / "moved")
    monkeypatch.setenv("FIRMSHAKE_TOOLS", str(moved))
    assert tools.mosquitto() == [f"{moved}/ld.so", f"{moved}/a:{moved}/b:/usr/lib"]


def test_a_manifest_written_anew_is_read_anew(noted: Path) -> None:
    toolfolder.write_manifest(noted, {"mosquitto": ["/one"]})
    assert tools.mosquitto() == ["/one"]
    toolfolder.write_manifest(noted, {"mosquitto": ["/another"]})
    assert tools.mosquitto() == ["/another"]


def test_a_caller_may_change_the_command_it_was_given(noted: Path) -> None:
    toolfolder.write_manifest(noted, {"mosquitto": ["/one"]})
    tools.mosquitto().append("-v")
    assert tools.mosquitto() == ["/one"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"v": 2, "programs": {}}', '{"v": 1, "programs": []}', "\0"]
)
def test_a_spoilt_manifest_is_one_line_and_a_remedy(noted: Path, text: str) -> None:
    (noted / toolfolder.MANIFEST).write_text(text)
    with pytest.raises(Error, match="cannot read") as caught:
        tools.micropython()
    assert "make setup" in caught.value.hint


def test_faketime_of_another_libc_is_never_mixed_in(noted: Path) -> None:
    toolfolder.write_manifest(noted, {"micropython": ["/x"]})
    assert tools.faketime() is None
    toolfolder.write_manifest(
        noted, {"micropython": ["/x"], "faketime": [f"{noted}/libfaketime.so.1"]}
    )
    assert tools.faketime() == noted / "libfaketime.so.1"
    assert tools.faketime(32) is None


def test_a_recent_program_on_path_is_taken(path: Path) -> None:
    micropython = program(path, "micropython", "echo 1.24")
    mosquitto = program(path, "mosquitto", "echo mosquitto version 2.0.18; exit 3")
    assert tools.micropython() == [str(micropython)]
    assert tools.mosquitto() == [str(mosquitto)]


def test_a_program_on_path_is_asked_once_a_process(path: Path, tmp_path: Path) -> None:
    program(path, "micropython", f"echo >> {tmp_path}/asked; echo 1.24")
    tools.micropython()
    tools.micropython()
    assert (tmp_path / "asked").read_text() == "\n"


@pytest.mark.parametrize(
    ("name", "script"),
    [
        ("micropython", "echo 1.22"),
        ("micropython", "echo 'ImportError: no module named tls' >&2; exit 1"),
        ("micropython", "exec /nowhere/at/all"),
        ("mosquitto", "echo mosquitto version 1.6.9; exit 3"),
    ],
)
def test_a_program_too_old_or_broken_is_refused(path: Path, name: str, script: str) -> None:
    program(path, name, script)
    with pytest.raises(Error, match=f"cannot find a recent {name}") as caught:
        getattr(tools, name)()
    assert str(path / name) in caught.value.hint


def test_what_is_absent_is_one_line_and_a_remedy(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools.sys, "platform", "linux")
    with pytest.raises(Error, match="cannot find micropython") as caught:
        tools.micropython()
    assert "make setup" in caught.value.hint
    with pytest.raises(Error, match="cannot find 32-bit MicroPython"):
        tools.micropython(32)
    with pytest.raises(Error, match="cannot find mosquitto_pub") as caught:
        tools.mosquitto_client("pub")
    assert "mosquitto-clients" in caught.value.hint


def test_on_macos_the_remedy_is_brew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools.sys, "platform", "darwin")
    with pytest.raises(Error) as caught:
        tools.mosquitto_client("sub")
    assert "brew install mosquitto`" in caught.value.hint


def test_setup_takes_a_broker_from_path_only_with_its_clients(path: Path) -> None:
    program(path, "mosquitto", "echo mosquitto version 2.0.18")
    assert "mosquitto" not in tools.recent_on_path()
    for name in tools.CLIENTS:
        program(path, f"mosquitto_{name}", "")
    assert tools.recent_on_path()["mosquitto"] == [str(path / "mosquitto")]


def test_setup_takes_micropython_from_path_only_with_faketime(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(path, "micropython", "echo 1.25")
    library = path / "libfaketime.so.1"
    library.touch()
    monkeypatch.setattr(tools, "FAKETIME_PLACES", ())
    assert "micropython" not in tools.recent_on_path()
    monkeypatch.setattr(tools, "FAKETIME_PLACES", (str(library),))
    assert tools.recent_on_path()["faketime"] == [str(library)]


def test_a_noted_peer_is_found(noted: Path) -> None:
    toolfolder.write_manifest(
        noted,
        {
            "softhsm2": [f"{noted}/hsm/libsofthsm2.so", f"{noted}/hsm/lib:{noted}/hsm/more"],
            "rabbitmq": [f"{noted}/rmq/rabbitmq-server", f"{noted}/rmq/erlang/bin", ""],
            "easyrsa": [f"{noted}/easyrsa"],
            "cfssljson": [f"{noted}/cfssljson"],
        },
    )
    assert tools.softhsm2() == noted / "hsm/libsofthsm2.so"
    assert tools.softhsm2_libraries() == f"{noted}/hsm/lib:{noted}/hsm/more"
    broker = tools.rabbitmq()
    assert broker.server == noted / "rmq/rabbitmq-server"
    assert broker.environment()["PATH"].startswith(f"{noted}/rmq/erlang/bin:")
    assert "LD_LIBRARY_PATH" not in broker.environment()
    assert tools.easyrsa() == [f"{noted}/easyrsa"]
    assert tools.cfssl("cfssljson") == [f"{noted}/cfssljson"]


def test_half_a_postgresql_is_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "POSTGRESQL_PLACES", ())
    (path / "initdb").symlink_to(path / "none")
    program(path, "postgres", "")
    assert tools.installed("postgresql") == []
    (path / "initdb").unlink()
    program(path, "initdb", "")
    assert tools.installed("postgresql") == [str(path), ""]


def test_a_peer_that_is_installed_is_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rabbitmq-server", "erl", "easyrsa", "cfssl", "initdb", "postgres"):
        program(path, name, "")
    (path / "libsofthsm2.so").touch()
    monkeypatch.setattr(tools, "RABBITMQ_PLACES", ())
    monkeypatch.setattr(tools, "SOFTHSM2_PLACES", (str(path / "lib*.so"),))
    assert tools.softhsm2() == path / "libsofthsm2.so"
    assert tools.rabbitmq() == tools.RabbitMQ(path / "rabbitmq-server", path, "")
    assert tools.postgresql() == tools.PostgreSQL(path, "")
    assert tools.easyrsa() == [str(path / "easyrsa")]
    assert tools.cfssl() == [str(path / "cfssl")]


@pytest.mark.parametrize("name", sorted(tools.PEERS))
def test_a_peer_that_is_absent_is_one_line_and_a_remedy(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for places in ("RABBITMQ_PLACES", "SOFTHSM2_PLACES", "EASYRSA_PLACES", "POSTGRESQL_PLACES"):
        monkeypatch.setattr(tools, places, ())
    with pytest.raises(Error, match=f"cannot find {name}") as caught:
        tools.cfssl(name) if name.startswith("cfssl") else getattr(tools, name)()
    command, package = tools.PEERS[name]
    assert command in caught.value.hint
    assert package in caught.value.hint


def test_this_checkout_has_the_real_programs() -> None:
    """Nothing is skipped for want of MicroPython or mosquitto: without them the run fails here."""
    for command in (tools.micropython(), tools.mosquitto(), tools.mosquitto_client("pub")):
        assert os.access(command[0], os.X_OK)
    library = tools.faketime()
    assert library is not None
    assert library.is_file()
    assert tools.softhsm2().is_file()
    assert os.access(tools.rabbitmq().server, os.X_OK)
    assert os.access(tools.postgresql().programs / "postgres", os.X_OK)
