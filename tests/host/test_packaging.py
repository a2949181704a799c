"""What `pip install .` brings: the wheel holds the host, the agent's sources and no secret."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2]
PARTS = ("pyproject.toml", "README.md", "LICENSE", "host", "device", "certs")
MADE = ("__pycache__", "*.egg-info")
BUILD = "import setuptools.build_meta as b; print(b.build_wheel('dist'))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy in which keys lie where a project puts them."""
    copy = tmp_path_factory.mktemp("source")
    for name in filter(lambda name: (SOURCE / name).exists(), PARTS):
        whole = SOURCE / name
        if whole.is_dir():
            shutil.copytree(whole, copy / name, ignore=shutil.ignore_patterns(*MADE))
        else:
            shutil.copy(whole, copy / name)
    for secret in ("certs/ca.key", "certs/ca.pem", "device/key.der", "host/firmshake/key.der"):
        (copy / secret).write_text("secret")
    built = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=copy, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return next((copy / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def sources(folder: str) -> set[str]:
    """Everything written by hand below a source folder, relative to it."""
    found = (path for path in (SOURCE / folder).rglob("*") if path.is_file())
    keep = (path for path in found if path.suffix in {".py", ".txt", ".toml", ".typed"})
    inside = {path.relative_to(SOURCE / folder) for path in keep}
    return {path.as_posix() for path in inside if not re.search(r"__pycache__|egg-info", str(path))}


def test_every_module_and_data_file_of_the_host_is_in_the_wheel(names: set[str]) -> None:
    assert {f"firmshake/{name}" for name in sources("host/firmshake")} <= names


def test_the_agents_sources_travel_so_that_the_host_can_compile_them(names: set[str]) -> None:
    expected = {f"firmshake_agent/{name}" for name in sources("device/firmshake_agent")}
    assert "firmshake_agent/causes.txt" in expected
    assert expected <= names


def test_entry_points_of_the_board_and_the_profiles_travel(names: set[str]) -> None:
    expected = {f"firmshake/device/{path.name}" for path in (SOURCE / "device").glob("*.py")}
    assert expected | {"firmshake/certs/profiles.toml"} <= names


def test_nothing_else_is_in_the_wheel(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "firmshake",
        "firmshake_agent",
    }
    assert not [name for name in names if name.endswith((".key", ".pem", ".der", ".pyc"))]


def test_the_command_runs_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    script = (
        "import firmshake, firmshake.ca.profiles, firmshake.bundle, sys\n"
        f"assert firmshake.__file__.startswith({str(tmp_path)!r}), firmshake.__file__\n"
        "from firmshake.cli import main\n"
        "sys.argv = ['firmshake', '--help']\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "provision" in done.stdout


def test_every_requirement_of_users_is_pinned_for_development() -> None:
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    pins = (SOURCE / "requirements" / "dev.txt").read_text()
    pinned = {normal(name) for name in re.findall(r"^([\w.-]+)==[\w.]+$", pins, re.MULTILINE)}
    wanted = {normal(re.split(r"[<>=]", line)[0]) for line in project["dependencies"]}
    assert wanted <= pinned


def test_every_pin_is_exact() -> None:
    for file in (SOURCE / "requirements").glob("*.txt"):
        lines = [line.split("#")[0].strip() for line in file.read_text().splitlines()]
        for line in filter(None, lines):
            assert re.fullmatch(r"[\w.-]+==[\w.]+", line), f"{file.name}: {line}"


def normal(name: str) -> str:
    """A project's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
