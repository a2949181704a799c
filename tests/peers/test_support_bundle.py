"""The support bundle with a real broker and a real board's line."""

import json
import zipfile
from pathlib import Path

from support import desk

SECRETS = ("the shed's password", "correct horse battery")


def files(out: Path) -> dict[str, str]:
    with zipfile.ZipFile(out) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def bundle(folder: Path, *words: str) -> dict[str, str]:
    """What is in the bundle that the command makes in `folder`."""
    made = desk.firmshake("bundle", "--out", "b.zip", *words, cwd=folder, passphrase=None)
    assert made.returncode == 0, made.stderr
    found = files(folder / "b.zip")
    (folder / "b.zip").unlink()
    return found


def test_the_doctors_view_of_the_broker_is_in_it(tmp_path: Path) -> None:
    made = desk.make_project(tmp_path / "fleet")
    with desk.broker(made):
        up = bundle(made.root)
    down = bundle(made.root)
    seen = json.loads(up["doctor.json"].partition("\n")[0])
    # no certificate is shown: it gets as far as the broker asks for one
    assert seen["stage"] == "tls"
    assert "project/mosquitto.log" in up
    assert json.loads(down["doctor.json"].partition("\n")[0])["verdict"] == "tcp/refused"
    for secret in SECRETS:
        assert secret not in str(up) + str(down)


def test_a_port_where_no_board_is_does_not_keep_it_from_being_made(tmp_path: Path) -> None:
    found = bundle(tmp_path, "--port", "socket://127.0.0.1:9")
    assert set(found) == {"board/boards.json", "board/recorder.jsonl", "versions.json"}
    assert "(exit status 1)" in found["board/recorder.jsonl"]
