"""The faults as a table, and what serving them leaves on this computer."""

import json
import re
import socket
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from firmshake import faults
from firmshake.cli.faults import command
from firmshake.errors import Error
from firmshake.faults import CASES, Case, Faults, bench, hello, oddtls, pki
from firmshake_agent import causes

SOURCE = Path(__file__).parents[2]
RUNTIMES = ("", "micropython", "cpython")
PATIENCE_S = 60

# stages and causes that no server and no network between can bring about, or not reliably
OURS = re.compile(
    r"identity/|wifi/|clock/|dns/|tcp/unreachable|.*/out_of_memory|.*/agent_error|.*/clock_wrong"
    r"|tls.client_certificate/(closed|reset|timeout)"
)
# proposed for the vocabulary, which has no word for a message that is larger than a client takes
PROPOSED = {"tls.server_certificate/too_large"}


def verdicts() -> set[str]:
    """Every verdict that any case expects of any runtime."""
    return {
        case.expected(version, runtime)
        for case in CASES.values()
        for version in case.versions
        for runtime in RUNTIMES
    }


def test_every_expected_verdict_is_in_the_vocabulary() -> None:
    for verdict in verdicts() - {"ready"} - PROPOSED:
        assert causes.lookup(verdict), verdict


def test_every_cause_that_a_server_or_a_network_can_have_is_a_case() -> None:
    served = {name for verdict in verdicts() for name in causes.keys(verdict)}
    text = (SOURCE / "device" / "firmshake_agent" / "causes.txt").read_text()
    known = [line.split("|")[0] for line in text.splitlines() if not line.startswith("#")]
    assert [name for name in known if not OURS.match(name) and name not in served] == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_case_has_a_name_a_sentence_and_known_versions(case: Case) -> None:
    assert re.fullmatch(r"[a-z0-9]+([.-][a-z0-9]+)*", case.name)
    assert case.what
    assert not case.what.endswith(".")
    assert set(case.versions) in ({"any"}, {"1.2"}, {"1.2", "1.3"})
    assert case.client in ("good", "none")
    for key in case.unless:
        assert set(key.split()) <= {"1.2", "1.3", "micropython", "cpython", "circuitpython"}


def test_what_a_runtime_cannot_know_is_not_expected_of_it() -> None:
    case = CASES["client-revoked"]
    assert case.expected("1.2", "micropython") == "tls.client_certificate/revoked"
    assert case.expected("1.3", "cpython") == "tls.client_certificate/revoked"
    assert case.expected("1.3", "micropython") == "tls.client_certificate/rejected"


def test_the_document_has_every_case_with_its_verdict() -> None:
    text = (SOURCE / "docs" / "faults.md").read_text()
    rows = dict(re.findall(r"^\| `([^`]+)` \|[^|]*\| `([^`]+)`", text, re.MULTILINE))
    assert rows == {case.name: case.verdict for case in CASES.values()}


def test_no_alert_is_told_by_two_cases() -> None:
    numbers = [number for number, _, _ in hello.ALERTS]
    assert len(set(numbers)) == len(numbers)


# choosing


def test_a_pattern_chooses_all_that_fit_and_each_once() -> None:
    found = [case.name for case in faults.chosen(["ws-4*", "ws-404", "good"])]
    assert found == ["ws-403", "ws-404", "good"]


def test_no_name_chooses_all() -> None:
    assert faults.chosen([]) == list(CASES.values())


def test_a_misspelt_fault_is_refused_and_the_near_one_named() -> None:
    with pytest.raises(Error) as caught:
        faults.chosen(["expird"])
    assert (caught.value.status, caught.value.hint) == (2, "did you mean expired?")


def test_the_list_makes_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(kind: str) -> pki.Key:
        raise AssertionError(kind)

    monkeypatch.setattr(pki, "new_key", never)
    shown = CliRunner().invoke(command, ["serve", "--list"])
    assert shown.exit_code == 0
    assert {line.split()[0] for line in shown.stdout.splitlines()[1:]} == set(CASES)
    as_json = CliRunner().invoke(command, ["serve", "--list", "--json", "--case", "expired"])
    assert [row["version"] for row in json.loads(as_json.stdout)] == ["1.2", "1.3"]


# serving


def answers(host: str, port: int) -> bool:
    """Whether anybody listens there."""
    try:
        socket.create_connection((host, port), PATIENCE_S).close()
    except ConnectionRefusedError:
        return False
    return True


def test_servers_are_bound_to_loopback() -> None:
    with Faults(["expired", "tcp-refused"]) as served:
        assert answers("127.0.0.1", served.port("expired", "1.3"))
        assert not answers("127.0.0.1", served.port("tcp-refused"))


def test_servers_are_gone_afterwards() -> None:
    # where no other test has any, which could be given a port that was one of these
    with Faults(["expired"], host="127.0.0.3") as served:
        ports = [row.port for row in served.rows]
        assert [answers("127.0.0.3", port) for port in ports] == [True, True]
    assert [answers("127.0.0.3", port) for port in ports] == [False, False]


def test_the_address_to_listen_at_is_in_the_certificate() -> None:
    with Faults(["expired", "tcp-refused", "tcp-dropped"], host="127.0.0.2") as served:
        assert served.pki.names == ("127.0.0.2", "127.0.0.1", "localhost")
        ports = [row.port for row in served.rows if row.case.name == "expired"]
        assert all(answers("127.0.0.2", port) for port in ports)
        # another test may have the same number there, and not both
        assert not all(answers("127.0.0.1", port) for port in ports)


def test_another_address_than_loopback_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmshake.cli.waiting.for_a_signal", lambda: None)
    served = ["serve", "--case", "tcp-reset", "--json"]
    loud = CliRunner().invoke(command, [*served, "--host", "0.0.0.0"])
    assert loud.exit_code == 0
    assert "WARNING: whoever can reach 0.0.0.0" in loud.stderr
    quiet = CliRunner().invoke(command, served)
    assert "WARNING" not in quiet.stderr
    (row,) = json.loads(quiet.stdout)
    assert (row["case"], row["host"], row["verdict"]) == ("tcp-reset", "127.0.0.1", "tcp/reset")


def test_no_file_is_left_and_none_was_readable_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Faults(["good", "client-expired"]):
        (folder,) = tmp_path.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert list(folder.iterdir()) == []  # OpenSSL has read what it was given
    assert list(tmp_path.iterdir()) == []


def test_a_case_that_cannot_be_served_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> int:
        raise Error("no mosquitto")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(bench.Bench, "mosquitto", fail)
    with pytest.raises(Error, match="no mosquitto"), Faults(["expired", "good-mosquitto"]):
        raise AssertionError
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_down_to_nothing() -> None:
    left: list[int] = []
    with Faults(["good", "expired"], progress=lambda row, rest: left.append(rest)) as served:
        assert left == [3, 2, 1, 0]
        assert len(served.rows) == 4


def test_a_key_is_made_once_for_all_who_wait_for_it() -> None:
    made = pki.Pki(["localhost"])
    assert made.once("x", object) is made.once("x", object)


def test_clients_tried_together_do_not_share_an_id() -> None:
    with Faults(["expired"]) as served:
        row = served.rows[0]
        first, second = (served.settings(row) for _ in range(2))
    assert first["device"] != second["device"]
    assert first["port"] == row.port


def test_a_case_says_what_its_clients_settings_need() -> None:
    with Faults(["ws-404"]) as served:
        settings = served.settings(served.rows[0])
    assert (settings["transport"], settings["path"]) == ("wss", "/mqtt")


def test_without_a_certificate_there_is_no_key_either() -> None:
    with Faults(["client-missing"]) as served:
        assert set(served.files("none")) == {"ca.der"}
        assert set(served.files()) == {"ca.der", "cert.der", "key.der"}


def test_tlslite_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oddtls.importlib.util, "find_spec", lambda name: None)
    missing = faults.missing(CASES["version-ssl3"])
    assert missing is not None
    assert "firmshake[faults]" in missing.hint
    assert faults.missing(CASES["expired"]) is None


# the identity


def test_the_clients_key_is_for_its_owner_only(tmp_path: Path) -> None:
    with Faults(["tcp-reset"]) as served:
        served.write_identity(tmp_path / "id")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "id").iterdir()}
    assert modes == {"ca.pem": 0o644, "client.pem": 0o644, "client.key": 0o600}
    assert stat.S_IMODE((tmp_path / "id").stat().st_mode) == 0o700


def test_an_identity_is_never_written_over_another(tmp_path: Path) -> None:
    (tmp_path / "client.key").write_text("mine")
    with Faults(["tcp-reset"]) as served, pytest.raises(Error, match="file exists"):
        served.write_identity(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"client.key"}
    assert (tmp_path / "client.key").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Faults(["tcp-reset"]) as served, pytest.raises(Error, match="cannot be written"):
        served.write_identity(tmp_path / "file" / "id")
