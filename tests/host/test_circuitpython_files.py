"""What a CircuitPython board gets: sources that say the same in fewer bytes, and PEM."""

import ast
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from firmshake import circuitpython
from firmshake.newproject import new_project
from firmshake.project import Broker, open_authority

NOW = datetime.now(UTC)
FILES = circuitpython.agent_files()
SOURCES = [path for path in FILES if path.endswith(".py") and path.startswith("/lib/")]


def test_the_agent_is_whole_and_has_no_module_of_other_runtimes() -> None:
    names = {path.rpartition("/")[2] for path in FILES}
    assert {"code.py", "agent.py", "runtime_circuitpython.py", "causes.txt"} <= names
    assert {"adafruit_minimqtt.py", "adafruit_ticks.py"} <= names
    assert not names & {"main.py", "runtime_micropython.py", "runtime_cpython.py", "once.py"}


@pytest.mark.parametrize("path", SOURCES)
def test_a_source_has_nothing_that_only_people_read(path: str) -> None:
    text = FILES[path]
    tree = ast.parse(text)
    assert circuitpython.stripped(text) == text
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.returns is None
            assert ast.get_docstring(node) is None


def test_what_is_left_does_the_same() -> None:
    source = b'''\
"""About."""
def add(a: int, b: "int" = 2, *rest: int, c: int = 3, **more: int) -> int:
    """Adds."""
    return a + b + sum(rest) + c + sum(more.values())  # all of them
class Empty:
    """Nothing."""
class Full:
    """Something."""
    text = """kept"""
    def none(self):
        """Nothing."""
'''
    before: dict[str, object] = {}
    after: dict[str, object] = {}
    exec(source, before)
    stripped = circuitpython.stripped(source)
    exec(stripped, after)
    for space in (before, after):
        add, full = space["add"], space["Full"]
        assert callable(add)
        assert callable(full)
        assert add(1, 2, 3, c=4, d=5) == 15
        assert (full().text, full().none()) == ("kept", None)
    assert b"Adds" not in stripped


def test_the_identity_is_pem_that_belongs_together(tmp_path: Path) -> None:
    broker = Broker("mqtt.example", 8883, "mqtt.example")
    made = new_project(tmp_path / "p", broker=broker, passphrase=b"correct horse", now=NOW)
    identity = open_authority(made, b"correct horse").issue("pump", now=NOW)
    files = circuitpython.own_files(made, identity, "pump", NOW)
    assert sorted(files) == [
        "/firmshake/ca.pem",
        "/firmshake/cert.pem",
        "/firmshake/key.pem",
        "/firmshake/settings.json",
    ]
    key = load_pem_private_key(files["/firmshake/key.pem"], None)
    chain = x509.load_pem_x509_certificates(files["/firmshake/cert.pem"])
    assert key.public_key() == chain[0].public_key()
    assert len(chain) == 2
    assert b"BEGIN EC PRIVATE KEY" in files["/firmshake/key.pem"]
