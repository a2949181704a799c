"""Files in memory, opened by a real child process in both of the ways that systems allow."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake import memfile

# Does what esptool does to its files: opens by name, seeks to the end and back, reads twice
READER = """
import sys
if sys.argv[1] == "--recall":
    from firmshake import memfile
    memfile.recall(sys.stdin.buffer)
    del sys.argv[1]
*names, outlet = sys.argv[1:]
with open(outlet, "wb") as out:
    for name in names:
        with open(name, "rb") as file:
            first = file.read(1)
            file.seek(0, 2)
            size = file.tell()
            file.seek(0)
            data = file.read()
            assert data[:1] == first and len(data) == size and file.name == name
            assert hasattr(file, "write")
            out.write(data[::-1])
print("done", flush=True)
"""
WAYS = [memfile.HAS_MEMFD, False]


@pytest.mark.parametrize("memfd", WAYS)
def test_a_child_reads_them_by_name_and_its_answer_comes_back(tmp_path: Path, memfd: bool) -> None:
    (tmp_path / "reader.py").write_text(READER, encoding="utf-8")
    contents = [b"\xe9firmware" * 100_000, b":not intel hex", b"", b"key"]
    with memfile.offered(contents, memfd) as offer:
        flag = ["--recall"] * offer.must_recall
        done = subprocess.run(
            [sys.executable, "reader.py", *flag, *offer.names, offer.outlet],
            input=offer.stdin,
            stdout=subprocess.PIPE,
            pass_fds=offer.fds,
            cwd=tmp_path,
            env={"PYTHONPATH": str(Path(memfile.__file__).parents[1])},
            check=True,
        )
        output = done.stdout.decode()
        assert offer.received(output) == b"".join(data[::-1] for data in contents)
    assert output.endswith("done\n")
    assert [path.name for path in tmp_path.iterdir() if path.suffix not in (".py", "")] == []


def test_what_is_offered_is_not_shown() -> None:
    with memfile.offered([b"SECRET"], memfd=False) as offer:
        assert "SECRET" not in repr(offer)
        assert b"SECRET" in offer.stdin


@given(st.lists(st.binary(max_size=50)))
def test_contents_survive_the_way_through_a_stream(contents: list[bytes]) -> None:
    assert memfile.unpack(io.BytesIO(memfile.pack(contents))) == contents


@given(st.binary(min_size=1, max_size=50), st.integers(1, 57))
def test_a_stream_that_ends_early_is_noticed(data: bytes, missing: int) -> None:
    packed = memfile.pack([data])
    cut = packed[: max(len(packed) - missing, 1)]
    with pytest.raises(EOFError):
        memfile.unpack(io.BytesIO(cut))
