"""Files of other people: regular ones are read, and nothing else keeps a command waiting."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from firmshake import regularfile
from firmshake.ca import keyfile, profiles
from firmshake.errors import Error


def test_a_regular_file_and_a_link_to_one_are_read_up_to_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"four")
    (tmp_path / "b").symlink_to("a")
    for name in ("a", "b"):
        assert regularfile.read(tmp_path / name, 4) == b"four"
        assert regularfile.read(tmp_path / name, 3) is None


@pytest.mark.parametrize("link", [False, True])
def test_a_fifo_a_device_and_a_folder_are_refused_at_once(tmp_path: Path, link: bool) -> None:
    os.mkfifo(tmp_path / "fifo")
    for target in (tmp_path / "fifo", Path("/dev/zero"), Path("/dev/tty"), tmp_path):
        path = target
        if link:
            path = tmp_path / f"to-{target.name}"
            path.symlink_to(target)
        with pytest.raises(OSError, match="egular file|directory"):
            regularfile.opened(path)
        with pytest.raises(Error, match="can't read"):
            keyfile.read(path)
        with pytest.raises(Error, match="can't read"):
            profiles.read(path)


def test_no_file_is_what_it_always_was(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        regularfile.opened(tmp_path / "none")
    assert caught.value.errno == errno.ENOENT
