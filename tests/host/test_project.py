"""fleet.toml, and the CA that a project folder holds."""

import shutil
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake import fleetfile, fleettemplate, project
from firmshake.errors import Error
from firmshake.newproject import new_project
from firmshake.project import Broker, Wifi

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
SECRET = b"correct horse"
GOOD = """
name = "greenhouse"
prefix = "gh"

[broker]
host = "mqtt.example"
port = 1234

[wifi]
ssid = "shed"
password = "eight or more"

[clock]
ntp = ["a.example", "192.0.2.1"]

[mqtt]
keepalive_s = 30
"""


def _load(folder: Path, text: str | bytes) -> project.Project:
    content = text.encode() if isinstance(text, str) else text
    (folder / "fleet.toml").write_bytes(content)
    return project.load(folder)


def test_every_value_is_read(tmp_path: Path) -> None:
    assert _load(tmp_path, GOOD) == project.Project(
        root=tmp_path,
        name="greenhouse",
        broker=Broker("mqtt.example", 1234, "mqtt.example"),
        wifi=Wifi("shed", "eight or more"),
        ntp=("a.example", "192.0.2.1"),
        keepalive_s=30,
        prefix="gh",
    )


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    found = _load(tmp_path, 'name = "g"\n[broker]\nhost = "::1"\n')
    assert found.broker == Broker("::1", 8883, "::1")
    assert found.wifi is None
    assert (found.ntp, found.keepalive_s, found.prefix) == (("pool.ntp.org",), 60, "")


def test_an_open_network_has_no_password(tmp_path: Path) -> None:
    found = _load(tmp_path, GOOD.replace('password = "eight or more"', ""))
    assert found.wifi == Wifi("shed", None)


def test_the_brokers_certificate_may_have_another_name_than_its_host(tmp_path: Path) -> None:
    found = _load(tmp_path, GOOD.replace("port = 1234", 'server_name = "b.example"'))
    assert found.broker == Broker("mqtt.example", 8883, "b.example")


def test_how_boards_speak_to_the_broker(tmp_path: Path) -> None:
    said = 'transport = "wss"\npath = "/a?b=%20"\nalpn = "mqtt"\nsni = "gate.example"'
    found = _load(tmp_path, GOOD.replace("port = 1234", said)).broker
    assert (found.transport, found.path) == ("wss", "/a?b=%20")
    assert (found.alpn, found.sni) == ("mqtt", "gate.example")
    found = _load(tmp_path, GOOD.replace("port = 1234", 'transport = "wss"')).broker
    assert (found.transport, found.path, found.alpn, found.sni) == ("wss", "/mqtt", None, None)
    found = _load(tmp_path, GOOD.replace("port = 1234", 'transport = "mqtts"')).broker
    assert found == Broker("mqtt.example", 8883, "mqtt.example")


@pytest.mark.parametrize(
    ("old", "new", "named", "hinted"),
    [
        ('name = "greenhouse"', "", "name is missing", ""),
        ('name = "greenhouse"', "name = 3", "name must be", "a whole number"),
        ('name = "greenhouse"', 'name = "a\\nb"', "name must be", ""),
        ('"greenhouse"', '"' + "x" * 41 + '"', "name must be", ""),
        ('prefix = "gh"', 'prefix = "a/b"', "prefix must be", ""),
        ('prefix = "gh"', 'prefx = "gh"', "unknown key 'prefx'", "did you mean 'prefix'"),
        ("port = 1234", "prot = 1234", "'broker.prot'", "did you mean 'broker.port'"),
        ("[mqtt]", "[mqt]", "unknown table 'mqt'", "did you mean 'mqtt'"),
        ("[mqtt]", "[broker.more]", "'broker.more'", ""),
        ('prefix = "gh"', 'ssid = "x"', "unknown key 'ssid'", "'wifi.ssid'"),
        ('host = "mqtt.example"', "", "broker.host is missing", "in quotes"),
        ('"mqtt.example"', '"mqtt.example:8883"', "broker.host must be", ""),
        ("port = 1234", "port = 0", "broker.port must be", ""),
        ("port = 1234", "port = true", "broker.port must be", "true or false"),
        ("port = 1234", 'port = "1234"', "broker.port must be", "broker.port is text"),
        ("port = 1234", "port = 1234-01-01", "broker.port must be", "a date or time"),
        ('"shed"', '""', "wifi.ssid must be", ""),
        ('"shed"', '"' + "ä" * 17 + '"', "wifi.ssid must be", ""),
        ('ssid = "shed"', "", "wifi.ssid is missing", ""),
        ('"eight or more"', '"short"', "wifi.password must be", ""),
        ('"eight or more"', '"' + "g" * 64 + '"', "wifi.password must be", ""),
        ('["a.example", "192.0.2.1"]', '"a.example"', "clock.ntp must be", "clock.ntp is text"),
        ('["a.example", "192.0.2.1"]', "[1]", "clock.ntp must be", ""),
        ('["a.example", "192.0.2.1"]', '["a.example:0"]', "clock.ntp must be", ""),
        # boards cannot ask it
        ('["a.example", "192.0.2.1"]', '["::1"]', "clock.ntp must be", ""),
        ("keepalive_s = 30", "keepalive_s = 65536", "mqtt.keepalive_s must be", ""),
        ("port = 1234", 'transport = "tcp"', "broker.transport must be", ""),
        ("port = 1234", "transport = []", "broker.transport must be", "a list"),
        ("port = 1234", 'path = "/mqtt"', "broker.path is for WebSockets only", "transport"),
        ("port = 1234", 'transport = "wss"\npath = "mqtt"', "broker.path must", ""),
        ("port = 1234", 'transport = "wss"\npath = "/a b"', "broker.path must", ""),
        ("port = 1234", 'transport = "wss"\npath = "/a\\r\\nb"', "broker.path must", ""),
        ("port = 1234", 'transport = "wss"\npath = "/a#b"', "broker.path must", ""),
        ("port = 1234", 'alpn = ""', "broker.alpn must", ""),
        ("port = 1234", 'alpn = "ä"', "broker.alpn must", ""),
        ("port = 1234", 'sni = "192.0.2.1"', "broker.sni must", ""),
        ("port = 1234", 'sni = "a.example:443"', "broker.sni must", ""),
    ],
)
def test_a_wrong_value_is_named_with_its_file_and_key(
    tmp_path: Path, old: str, new: str, named: str, hinted: str
) -> None:
    assert _load(tmp_path, GOOD)
    assert old in GOOD
    with pytest.raises(Error) as caught:
        _load(tmp_path, GOOD.replace(old, new))
    assert str(tmp_path / "fleet.toml") in caught.value.message
    assert named in caught.value.message
    assert hinted in caught.value.hint


def test_a_table_that_is_no_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(Error, match="broker must be a table"):
        _load(tmp_path, 'name = "g"\nbroker = "mqtt.example"\n')


def test_a_refused_password_is_not_shown(tmp_path: Path) -> None:
    for wrong in ('"sécret-sécret"', "[99887766]", '"s3cret"'):
        with pytest.raises(Error) as caught:
            _load(tmp_path, GOOD.replace('"eight or more"', wrong))
        said = caught.value.message + caught.value.hint
        assert not any(piece in said for piece in ("cret", "99887766"))


def test_no_password_shows_in_a_representation(tmp_path: Path) -> None:
    assert "eight or more" not in repr(_load(tmp_path, GOOD))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name = \nprefix = 1", "line 1"),
        (GOOD + "\n[broker]\n", "line"),
        (b'name = "a"\nprefix = "\xff"', "not UTF-8 (at line 2)"),
        ("a = " + "[" * 50_000, "nested too deeply"),
        ("a = " + "9" * 5000, "fleet.toml"),
        (b"#" * (1024 * 1024 + 1), "too large"),
        ("\0", "line 1"),
    ],
)
def test_what_is_no_toml_is_refused(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(Error) as caught:
        _load(tmp_path, content)
    assert said in caught.value.message


def test_a_folder_without_a_project_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(Error, match="no project in") as caught:
        project.load(tmp_path / "none")
    assert "firmshake init" in caught.value.hint
    (tmp_path / "fleet.toml").mkdir()
    with pytest.raises(Error, match="can't read"):
        project.load(tmp_path)


_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text())
)


@given(
    st.dictionaries(
        st.sampled_from(["name", "prefix", "broker", "wifi", "clock", "mqtt", "x"]),
        st.one_of(
            _SCALARS,
            st.dictionaries(st.sampled_from(["host", "port", "ssid", "ntp", "y"]), _SCALARS),
        ),
    )
)
def test_any_document_is_checked_or_refused(document: dict[str, object]) -> None:
    try:
        values = fleetfile.check(document)
    except Error:
        return
    assert fleetfile.is_name(values.name)


@given(
    name=st.text().filter(fleetfile.is_name),
    ssid=st.text(max_size=32).filter(fleetfile.is_ssid),
    password=st.none() | st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=8),
    ntp=st.lists(st.sampled_from(["a.example", "192.0.2.1", "b.example:1123"]), max_size=4),
    server_name=st.sampled_from(["mqtt.example", "other.example"]),
    spoken=st.sampled_from([("mqtts", "/mqtt"), ("wss", "/mqtt"), ("wss", "/other")]),
    extras=st.sampled_from([(None, None), ("mqtt", None), (None, "gate.example")]),
)
def test_the_template_says_what_it_was_given(
    name: str,
    ssid: str,
    password: str | None,
    ntp: list[str],
    server_name: str,
    spoken: tuple[str, str],
    extras: tuple[str | None, str | None],
) -> None:
    password = None if password is None else password[:63]
    text = fleettemplate.render(
        name=name,
        prefix="p",
        host="mqtt.example",
        port=1,
        server_name=server_name,
        ssid=ssid,
        password=password,
        ntp=ntp,
        keepalive_s=5,
        transport=spoken[0],
        path=spoken[1],
        alpn=extras[0],
        sni=extras[1],
    )
    values = fleetfile.check(tomllib.loads(text))
    assert (values.name, values.wifi_ssid, values.wifi_password) == (name, ssid, password)
    assert (values.ntp, values.keepalive_s, values.port) == (tuple(ntp), 5, 1)
    assert (values.server_name or values.host) == server_name
    assert ((values.transport, values.path), (values.alpn, values.sni)) == (spoken, extras)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "greenhouse"
    new_project(folder, broker=Broker("a.example", 1, "a.example"), passphrase=SECRET, now=NOW)
    return folder


def _copy(made: Path, tmp_path: Path) -> project.Project:
    return project.load(Path(shutil.copytree(made, tmp_path / "copy")))


def test_the_ca_opens_with_its_passphrase_and_without_the_roots_key(
    made: Path, tmp_path: Path
) -> None:
    found = _copy(made, tmp_path)
    (found.ca_folder / "root.key").unlink()
    authority = project.open_authority(found, SECRET)
    assert authority.root == project.root_certificate(found)
    with pytest.raises(Error, match="wrong passphrase"):
        project.open_authority(found, b"incorrect horse")


@pytest.mark.parametrize("name", ["root.crt", "intermediate.crt", "intermediate.key"])
def test_a_missing_or_damaged_file_of_the_ca_is_named(
    made: Path, tmp_path: Path, name: str
) -> None:
    found = _copy(made, tmp_path)
    assert project.open_authority(found, SECRET)
    (found.ca_folder / name).write_text("junk")
    with pytest.raises(Error, match=name):
        project.open_authority(found, SECRET)
    (found.ca_folder / name).unlink()
    with pytest.raises(Error, match=f"no file .*{name}"):
        project.open_authority(found, SECRET)


@pytest.mark.parametrize(
    ("put", "over", "said"),
    [
        ("root.key", "intermediate.key", "holds the root's key"),
        ("root.crt", "intermediate.crt", "private key is not the one of"),
        ("intermediate.crt", "root.crt", "was not issued by"),
    ],
)
def test_files_of_the_ca_that_do_not_belong_together_are_refused(
    made: Path, tmp_path: Path, put: str, over: str, said: str
) -> None:
    found = _copy(made, tmp_path)
    assert project.open_authority(found, SECRET)
    shutil.copy(found.ca_folder / put, found.ca_folder / over)
    with pytest.raises(Error, match=said):
        project.open_authority(found, SECRET)
