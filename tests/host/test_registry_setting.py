"""Where fleet.toml says that the registry is."""

import contextlib
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake import fleettemplate, project, registrysetting, registryurl
from firmshake.errors import Error

URL = "postgresql://firmshake@db.example/fleet?sslmode=verify-full"
PLAIN = 'name = "shed"\n\n[broker]\nhost = "192.0.2.1"\n'
NEW = fleettemplate.render(
    name="shed",
    prefix="shed",
    host="192.0.2.1",
    port=8883,
    server_name="192.0.2.1",
    ssid="net",
    password="a password",
    ntp=(),
    keepalive_s=60,
)


@pytest.mark.parametrize("text", [PLAIN, NEW, f"{PLAIN}[registry]\n"])
def test_the_url_is_put_into_a_fleet_toml_which_says_the_rest_as_before(
    text: str, tmp_path: Path
) -> None:
    made = registrysetting.written(text, URL)
    assert tomllib.loads(made) == tomllib.loads(text) | {"registry": {"url": URL}}
    (tmp_path / "fleet.toml").write_text(made)
    found = project.load(tmp_path)
    assert found.registry_url == found.registry_at == URL
    (tmp_path / "fleet.toml").write_text(PLAIN)
    assert project.load(tmp_path).registry_at == tmp_path / "registry.sqlite"


def test_a_new_fleet_toml_shows_where_the_url_goes() -> None:
    assert "# [registry]" in NEW
    assert "# [registry]" not in registrysetting.written(NEW, URL)


@pytest.mark.parametrize(
    "text", [f'{PLAIN}[registry]\nurl = "postgresql://a/b"\n', f"registry = {{}}\n{PLAIN}"]
)
def test_a_fleet_toml_that_is_written_otherwise_is_left_to_its_owner(text: str) -> None:
    with pytest.raises(Error, match="automatically") as caught:
        registrysetting.written(text, URL)
    assert URL in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "postgresql:///fleet",
        "postgresql:///fleet?host=/run/postgresql",
        "postgresql://[::1]:5433/fleet",
    ],
)
def test_a_url_of_postgresql_will_do(url: str) -> None:
    assert registryurl.check(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "fleet",
        "sqlite:///fleet",
        "mysql://h/fleet",
        "postgresql://h",
        "postgresql://h/a\nb",
        "postgresql://h/db#s3cret",
        "postgresql://[h/db",
        "postgresql+psycopg://h/fleet",
    ],
)
def test_another_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(Error, match="that is no") as caught:
        registryurl.check(url)
    assert "s3cret" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret@h/db",
        "postgresql://:s3cret@h/db",
        "mysql://me:s3cret@h/db",
        "postgresql://me@h/db?password=s3cret",
        "postgresql://me@h/db?sslpassword=s3cret",
        "postgresql://me@h/db?%70assword=s3cret",
    ],
)
def test_a_password_has_no_place_in_fleet_toml(url: str, tmp_path: Path) -> None:
    (tmp_path / "fleet.toml").write_text(f'{PLAIN}[registry]\nurl = "{url}"\n')
    with pytest.raises(Error, match=re.escape("registry.url")) as caught:
        project.load(tmp_path)
    assert ".pgpass" in caught.value.hint
    assert "s3cret" not in f"{caught.value}{caught.value.hint}"


@given(st.text())
def test_any_text_is_a_url_or_an_error(text: str) -> None:
    with contextlib.suppress(Error):
        assert registryurl.check(text) == text
