"""The tables: what firmwares can do, names of suites, and what follows from two views."""

from __future__ import annotations

import ssl
from fnmatch import fnmatchcase

import pytest

from firmshake.event import STAGES
from firmshake.serverview import compare, conclusions, firmwares, suites
from firmshake.serverview.answer import Answer
from firmshake.serverview.conclusions import NO_REPORT, ROWS
from firmshake.serverview.finding import ERROR, Finding
from firmshake.serverview.prediction import findings, sentence
from firmshake.serverview.probe import Choice, Offered
from firmshake.serverview.reach import Server
from firmshake.serverview.view import ServerView
from firmshake.verdict import Verdict
from firmshake_agent import causes

ESP32, PICO = firmwares.FIRMWARES
GCM = 0xC02C


def verdict(text: str | None) -> Verdict:
    if text is None:
        return Verdict(False, None, None, None, "no_report", "It said nothing.", "Wait.")
    stage, _, cause = text.partition("/")
    name, _, step = stage.partition(".")
    return Verdict(text == "ready", text, name, step or None, cause or None, "why", "its fix")


def so(board: str | None, computer: str | None, *codes: str) -> str:
    found = tuple(Finding(code, ERROR, f"found {code}") for code in codes)
    view = ServerView(Server("broker.lab", 8883, "broker.lab"), findings=found)
    return compare.compare(verdict(board), verdict(computer), view).so


# firmwares and suites


def test_the_firmwares_offer_as_many_suites_as_were_seen_on_them() -> None:
    assert (len(ESP32.suites), len(PICO.suites)) == (58, 18)
    assert set(PICO.suites) < set(ESP32.suites)
    assert not any(suites.is_weak(one) for one in ESP32.suites)


def test_names_are_those_of_openssl() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    known = {one["id"] & 0xFFFF: one["name"] for one in context.get_ciphers()}
    shared = set(known) & set(suites.SUITES)
    assert len(shared) > 60
    assert {one: suites.SUITES[one] for one in shared} == {one: known[one] for one in shared}


def test_a_suite_without_a_name_is_its_number() -> None:
    assert suites.name(0xFEFE) == "0xFEFE"


# what a board will do, in words


def offered(answer: Answer, **taken: tuple[int, ...]) -> tuple[Choice, Offered]:
    choice = Choice(PICO, answer)
    versions = {"tls12": 0x0303, "tls13": 0x0304}
    return choice, Offered({versions[key]: value for key, value in taken.items()}, (choice,))


@pytest.mark.parametrize(
    ("answer", "taken", "words", "code"),
    [
        (Answer(0x0303, GCM, 0x17), {"tls12": (GCM,)}, "will use TLS 1.2 ECDHE-ECDSA-AES256", ""),
        (Answer(alert=70), {"tls13": (0x1301,)}, "TLS 1.3 and not TLS 1.2", "protocol_version"),
        (Answer(alert=40), {"tls12": (0xCCA9,)}, "no suite in common", "no_shared_cipher"),
        (Answer(alert=40), {"tls12": (GCM,)}, "no elliptic curve", "no_shared_cipher"),
        (Answer(alert=112), {}, "unrecognized_name", "no_shared_cipher"),
        (Answer(), {}, "without a word", "no_shared_cipher"),
    ],
)
def test_what_a_board_will_do(
    answer: Answer, taken: dict[str, tuple[int, ...]], words: str, code: str
) -> None:
    choice, found = offered(answer, **taken)
    assert words in sentence(choice, found)
    assert [one.code for one in findings(found)] == ([code] if code else [])


def test_what_nobody_should_use_is_a_warning() -> None:
    choice, _ = offered(Answer(0x0303, GCM))
    found = Offered({0x0301: (0x000A,), 0x0303: (GCM,)}, (choice,))
    assert [one.code for one in findings(found)] == ["old_version", "weak_suite"]


# two views


@pytest.mark.parametrize(
    ("board", "computer", "codes", "words"),
    [
        ("tcp/timeout", "ready", [], "board's network, not the broker"),
        (
            "tls.server_certificate/unknown_ca",
            "tls.server_certificate/unknown_ca",
            ["incomplete_chain"],
            "does not send its intermediate",
        ),
        (
            "tls.server_certificate/unknown_ca",
            "tls.server_certificate/unknown_ca",
            ["out_of_order"],
            "order",
        ),
        ("tcp/refused", "ready", [], "it was down then, or the board went elsewhere"),
        ("tcp/refused", "tcp/refused", [], "Nothing listens on that port"),
        ("tcp/refused", "tcp/timeout", [], "Both fail at tcp"),
        ("dns/not_found", "tcp/refused", [], "its DNS does not know the name"),
        ("tls.server_certificate/unknown_ca", "ready", [], "trusts another CA"),
        ("tls.server_certificate/clock_wrong", "ready", [], "The board's clock"),
        (
            "tls.server_certificate/expired",
            "tls.server_certificate/expired",
            ["expired"],
            "really expired",
        ),
        ("tls.server_certificate/expired", "ready", [], "renewed since"),
        ("tls.server_certificate/not_yet_valid", "ready", [], "clock is behind"),
        ("tls.client_certificate/expired", "ready", [], "own certificate has expired"),
        ("mqtt/not_authorized", "ready", [], "this device"),
        ("tls.client_certificate/unknown_ca", "tls.client_certificate/unknown_ca",
         ["client_unknown_ca"], "does not know the CA of the fleet"),
        ("tls.finished/reset", "ready", [], "in order for this computer"),
        ("ready", "tcp/refused", [], "keeps it away"),
        ("ready", "ready", [], "nothing is wrong now"),
        ("mqtt/banned", "mqtt/banned", [], "Both see the same"),
        ("mqtt/banned", "tcp/refused", [], "down now"),
        ("wifi/wrong_password", "tcp/refused", [], "radio network"),
        (None, "ready", [], "said nothing"),
        (None, "tcp/refused", [], "fails at tcp"),
    ],
)  # fmt: skip
def test_what_follows(board: str | None, computer: str, codes: list[str], words: str) -> None:
    assert words in so(board, computer, *codes)


@pytest.mark.parametrize(
    "computer", ["tls.server_certificate/expired", "mqtt/not_authorized", "subscribe/denied"]
)
@pytest.mark.parametrize(
    "board", ["tcp/refused", "tcp/timeout", "tcp/unreachable", "tcp/reset", "dns/not_found"]
)
def test_whatever_fails_here_beyond_tcp_the_way_is_judged_as_if_nothing_did(
    board: str, computer: str
) -> None:
    stage = verdict(computer).stage
    assert (
        so(board, computer) == f"{so(board, 'ready')} Beyond that, this computer fails at {stage}."
    )
    assert so(board, None) != so(board, "ready")


@pytest.mark.parametrize("board", [NO_REPORT, *STAGES])
@pytest.mark.parametrize("computer", [NO_REPORT, *STAGES])
def test_every_pair_of_stages_has_an_answer(board: str, computer: str) -> None:
    for same in (True, False):
        text, _ = compare.default(board, computer, same)
        assert text.endswith(".")


def test_every_row_speaks_of_causes_that_there_are() -> None:
    known = {f"{stage}/{cause}" for stage, cause in pairs()} | {"ready"}
    for row in ROWS:
        for pattern in (row.board, row.computer):
            assert any(fnmatchcase(one, pattern) for one in known), pattern
        assert row.so.endswith(".")
        assert row.do.endswith(".")
        assert row.because


def test_no_row_is_hidden_by_one_above_it() -> None:
    for number, row in enumerate(ROWS):
        above = ROWS[:number]
        same = [one for one in above if (one.board, one.computer, one.finding) ==
                (row.board, row.computer, row.finding)]  # fmt: skip
        wider = [
            one
            for one in above
            if not one.finding
            and fnmatchcase(row.board, one.board)
            and fnmatchcase(row.computer, one.computer)
        ]
        assert not same, row
        assert not wider, row


def test_where_no_row_fits_a_fix_is_still_given() -> None:
    assert conclusions.WHEN_READY["tls"][1]
    found = compare.compare(
        verdict("mqtt/banned"), verdict("mqtt/banned"), ServerView(Server("h", 1, "h"))
    )
    assert found.do == "its fix"


def pairs() -> list[tuple[str, str]]:
    """Every stage with its causes, as the agent knows them."""
    return [tuple(one.split("/", 1)) for one in causes_known()]  # type: ignore[misc]


def causes_known() -> list[str]:
    from importlib import resources

    text = (resources.files("firmshake_agent") / "causes.txt").read_text()
    names = [line.split("|")[0] for line in text.splitlines() if line and line[0] != "#"]
    assert causes.lookup(names[0])
    steps = ("client_hello", "server_hello", "server_certificate", "client_certificate", "finished")
    return [*names, *(f"tls.{step}/out_of_memory" for step in steps)]
