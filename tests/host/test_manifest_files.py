"""Manifests in files, those of the documentation among them, and very large ones."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.manifests import PROJECT, parsed, planned

from firmshake.ca import profiles
from firmshake.errors import Error
from firmshake.fleet import columns, manifest, settings
from firmshake.fleet.manifest import BadManifest

TEXT = (Path(__file__).parents[2] / "docs" / "manifest.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```(csv|toml)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_documentation_are_right() -> None:
    found = {kind: planned(example, f"a.{kind}") for kind, example in EXAMPLES}
    assert set(found) == {"csv", "toml"}
    assert Counter(one.board for one in found["csv"]) == {"pico-w": 21, "esp32": 2, None: 5}
    assert found["csv"][1].settings["wifi.ssid"] == "Shed, west"
    assert [one.id_rule for one in found["toml"]][:2] == ["pump-1", "valve-0001"]
    assert len(found["toml"]) == 21


def test_the_documentation_has_every_column() -> None:
    rows = "".join(line for line in TEXT.splitlines() if line.startswith("| `"))
    assert all(f"`{name}`" in rows for name in columns.NAMES)


def test_a_file_is_read_as_its_name_says(tmp_path: Path) -> None:
    for name, text in (("a.csv", "id\na\n"), ("a.TOML", '[[device]]\nid = "a"\n')):
        (tmp_path / name).write_text(text)
        found = manifest.read(tmp_path / name, PROJECT)
        assert found.name == name
        assert [one.id_rule for one in found.planned] == ["a"]
    (tmp_path / "a.txt").write_text("id\na\n")
    with pytest.raises(Error, match=r"neither \.csv nor \.toml") as caught:
        manifest.read(tmp_path / "a.txt", PROJECT)
    assert caught.value.status == 2


def test_the_projects_own_profiles_count(tmp_path: Path) -> None:
    project, path = replace(PROJECT, root=tmp_path), tmp_path / "a.csv"
    path.write_text("id,profile\na,short\n")
    with pytest.raises(BadManifest, match="'short'"):
        manifest.read(path, project)
    more = "\n[profile.short]\nvalidity_days = 90\n"
    (tmp_path / "profiles.toml").write_text(profiles.text() + more)
    assert manifest.read(path, project).planned[0].profile == "short"


def test_what_can_not_be_read_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name in ("none.csv", "pipe.csv", "folder.csv"):
        with pytest.raises(Error, match=name):
            manifest.read(tmp_path / name, PROJECT)


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("wb") as stream:
        stream.truncate(manifest.LARGEST + 1)
    with pytest.raises(Error, match="larger than 1 GiB"):
        manifest.read(tmp_path / "a.csv", PROJECT)


def test_those_who_wait_are_told_how_far_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,count\n" + "a{number},\n" * 120_000)
    done: list[int] = []
    manifest.read(path, PROJECT, done.append)
    assert len(done) == 2
    assert 0 < done[0] < done[1] < path.stat().st_size


def test_devices_with_the_same_settings_share_them() -> None:
    found = planned("id,wifi.ssid,count\na{number},x,500\nb,x,\nc,y,\n")
    assert len({id(one.settings) for one in found}) == 2


def test_a_hundred_thousand_wrong_lines_are_told_one_and_all() -> None:
    text = "id,board\n" + "".join(f"-{n},board-{n}\n" for n in range(50_000))
    with pytest.raises(BadManifest) as caught:
        parsed(text)
    assert len(caught.value.problems) == 100_000
    assert [one.line for one in caught.value.problems[-2:]] == [50_001, 50_001]


def held(data: bytes, name: str) -> None:
    """There are problems, or devices whose settings are settings."""
    try:
        found = parsed(data, name)
    except BadManifest as wrong:
        told = wrong.problems
        found = None
    if found is None:
        assert told
    else:
        assert found.planned
        assert all(set(one.settings) <= set(settings.NAMES) for one in found.planned)


@given(st.binary(max_size=300), st.sampled_from(["a.csv", "a.toml"]))
def test_any_bytes_are_a_manifest_or_problems(data: bytes, name: str) -> None:
    held(data, name)


_WORDS = [b"id", b"count", b",", b";", b'"', b"\n", b"{number}", b"a", b"[[device]]\n", b"id = "]
_WORDS += [b"'''", b"[", b"]", b"wifi.ssid", b"=", b"x", b"#", b"\r", b"{", b"}", b"\xff", b"1"]


@given(st.lists(st.sampled_from(_WORDS), max_size=40), st.sampled_from(["a.csv", "a.toml"]))
def test_any_words_are_a_manifest_or_problems(words: list[bytes], name: str) -> None:
    held(b"".join(words), name)
