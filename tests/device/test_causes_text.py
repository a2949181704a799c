"""The vocabulary of failure: every cause has its why and fix, and evidence is only inserted."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import firmshake_agent
from firmshake_agent import causes

AGENT = Path(firmshake_agent.__file__).parent

# The public contract: these identifiers are never renamed.
VOCABULARY = {
    "identity": "config_invalid file_missing bad_key encrypted_key bad_certificate bad_ca"
    " key_mismatch expired not_yet_valid",
    "wifi": "no_radio ap_not_found wrong_password no_address timeout",
    "clock": "not_set ntp_unreachable",
    "dns": "not_found timeout",
    "tcp": "refused timeout unreachable reset",
    "tls.client_hello": "not_tls_http not_tls_mqtt not_tls closed reset timeout out_of_memory",
    "tls.server_hello": "protocol_version no_shared_cipher alpn_rejected sni_rejected server_error"
    " out_of_memory",
    "tls.server_certificate": "expired not_yet_valid clock_wrong unknown_ca self_signed"
    " incomplete_chain hostname_mismatch weak_key wrong_usage malformed out_of_memory",
    "tls.client_certificate": "missing unknown_ca expired revoked key_mismatch unsupported"
    " access_denied rejected out_of_memory",
    "tls.finished": "closed reset timeout bad_record out_of_memory",
    "websocket": "http_status bad_upgrade subprotocol closed timeout",
    "mqtt": "protocol_version client_id server_unavailable bad_credentials not_authorized banned"
    " quota refused closed timeout not_mqtt",
    "subscribe": "denied no_echo closed timeout not_mqtt",
    "ready": "keepalive_timeout closed not_mqtt",
}
VERDICTS = [f"{stage}/{cause}" for stage, text in VOCABULARY.items() for cause in text.split()]

# Beyond the contract: where a handshake broke without a better word, and what may hit any stage.
STEPS = ("server_hello", "server_certificate", "client_certificate")
MORE = [f"tls.{step}/{end}" for step in STEPS for end in ("closed", "reset", "timeout")]
MORE += ["tls.server_certificate/too_large"]
MORE += ["tls/out_of_memory", "tls/protocol_error", "*/out_of_memory", "*/agent_error"]


def lines() -> Iterator[list[str]]:
    for line in (AGENT / "causes.txt").read_bytes().decode("ascii").splitlines():
        if not line.startswith("#"):
            yield line.split("|")


def found(verdict: str) -> tuple[str, str]:
    texts = causes.lookup(verdict)
    assert texts is not None, verdict
    return texts


# the file


@pytest.mark.parametrize("verdict", VERDICTS + MORE)
def test_every_cause_has_a_why_and_a_fix(verdict: str) -> None:
    why, fix = found(verdict)
    for text in (why, fix):
        assert text[0].isupper() or text[0] in "{["
        assert text.endswith((".", ".]"))
        assert text.isascii()
    assert why != fix


def test_the_file_names_nothing_beyond_the_vocabulary_and_nothing_twice() -> None:
    names = [fields[0] for fields in lines()]
    # out_of_memory is one line for every step of TLS
    wanted = [each for each in VERDICTS + MORE if not re.match(r"tls\..*/out_of_memory", each)]
    assert sorted(names) == sorted(wanted)


def test_every_line_has_three_fields_and_whole_placeholders() -> None:
    for fields in lines():
        assert len(fields) == 3, fields
        for text in fields[1:]:
            bare = re.sub(r"\{[a-z0-9_]+\}", "", text)
            assert not re.search(r"[{}]", bare), fields
            assert re.fullmatch(r"[^][]*(\[[^][]*\][^][]*)*", bare), fields
            for clause in re.findall(r"\[([^]]*)\]", text):
                assert "{" in clause, "a clause without evidence would always stand"


def test_special_lines_stand_above_general_ones() -> None:
    """The first match is taken."""
    names = [fields[0] for fields in lines()]
    for at, name in enumerate(names):
        assert causes.keys(name)[0] == name
        assert set(causes.keys(name)[1:]) - {name} <= set(names[at + 1 :]) | (
            set(causes.keys(name)[1:]) - set(names)
        )


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        ("tls.client_certificate/expired", "tls.client_certificate/expired"),
        ("tls.server_certificate/expired", "tls.server_certificate/expired"),
        ("tls.finished/out_of_memory", "tls/out_of_memory"),
        ("tls.finished/protocol_error", "tls/protocol_error"),
        ("mqtt/out_of_memory", "*/out_of_memory"),
        ("wifi/agent_error", "*/agent_error"),
        ("tls.finished/agent_error", "*/agent_error"),
    ],
)
def test_a_verdict_finds_its_own_line(verdict: str, line: str) -> None:
    texts = {fields[0]: (fields[1], fields[2]) for fields in lines()}
    assert found(verdict) == texts[line]


@pytest.mark.parametrize("verdict", ["", "ready", "tls/", "/", "expired", "tcp/expired", "a/b/c"])
def test_an_unknown_verdict_has_none(verdict: str) -> None:
    assert causes.lookup(verdict) is None


# the agent's code


def tree(name: str) -> ast.Module:
    return ast.parse((AGENT / name).read_text())


def strings(module: ast.Module, node: ast.expr, inside: ast.AST | None = None) -> set[str]:
    """The texts that an expression inside a function may be: constants, choices, tables, names."""
    if isinstance(node, ast.Constant):
        return {node.value} if isinstance(node.value, str) else set()
    if isinstance(node, ast.IfExp):
        return strings(module, node.body, inside) | strings(module, node.orelse, inside)
    if isinstance(node, ast.Dict):
        return set().union(*(strings(module, each, inside) for each in node.values))
    if isinstance(node, ast.Subscript):
        return strings(module, node.value, inside)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):  # TABLE.get(key, text)
        return strings(module, node.func.value) | strings(module, node.args[-1], inside)
    if isinstance(node, ast.Name):
        if isinstance(inside, ast.FunctionDef) and node.id in [
            each.arg for each in inside.args.args
        ]:
            return handed(module, inside)
        bound = [each for each in ast.walk(inside or module) if isinstance(each, ast.Name)]
        local = any(each.id == node.id and isinstance(each.ctx, ast.Store) for each in bound)
        return assigned(module, inside if inside and local else module, node.id)
    return set()


def assigned(module: ast.Module, where: ast.AST, name: str) -> set[str]:
    """What is assigned to a name in a function, or anywhere in the module."""
    found = set()
    for each in ast.walk(where):
        if isinstance(each, ast.Assign) and any(
            isinstance(to, ast.Name) and to.id == name for to in each.targets
        ):
            found |= strings(module, each.value, where)
    return found


def handed(module: ast.Module, function: ast.FunctionDef) -> set[str]:
    """The constants that the module's own calls hand to a function."""
    return {
        each.value
        for call in ast.walk(module)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == function.name
        for each in call.args
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    }


def named() -> Iterator[tuple[str, str]]:
    """(module, verdict) of each Failure and each warning that the agent's code spells out."""
    for path in sorted(AGENT.glob("*.py")):
        module = tree(path.name)
        for inside in ast.walk(module):
            if isinstance(inside, ast.FunctionDef):
                for stage, cause in raised(module, inside):
                    yield path.name, f"{stage}/{cause}"


def raised(module: ast.Module, inside: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """(stage, cause) of each Failure and each warning in a function."""
    for call in ast.walk(inside):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "id", getattr(call.func, "attr", ""))
        if name == "_failure":  # identity.py's own
            stages, causes = {"identity"}, strings(module, call.args[0], inside)
        elif name in ("Failure", "warn") and len(call.args) >= 2:
            stages = strings(module, call.args[0]) or {"*"}
            causes = strings(module, call.args[1], inside)
        else:
            continue
        yield from ((min(stages), cause) for cause in causes)


SPELLED = sorted(set(named()))


@pytest.mark.parametrize(("module", "verdict"), SPELLED)
def test_every_cause_that_the_code_names_is_in_the_file(module: str, verdict: str) -> None:
    assert causes.lookup(verdict) is not None


def test_the_walk_over_the_code_finds_the_stages_causes() -> None:
    """Else the test above would hold of nothing."""
    verdicts = {verdict for _, verdict in SPELLED}
    for stage, besides in [
        ("identity", set()),
        # the runtime's
        ("wifi", {"ap_not_found", "wrong_password", "no_address", "timeout", "out_of_memory"}),
        ("clock", set()),
        ("dns", set()),
        ("tcp", set()),
        ("mqtt", {"banned", "quota"}),  # of MQTT 5
        ("subscribe", set()),
        ("ready", set()),
    ]:
        wanted = {f"{stage}/{cause}" for cause in set(VOCABULARY[stage].split()) - besides}
        assert {verdict for verdict in verdicts if verdict.startswith(stage + "/")} >= wanted


def test_every_refusal_of_the_radio_is_in_the_file() -> None:
    module = tree("runtime_micropython.py")
    causes_of_radio = strings(module, ast.Name("_WIFI")) | {
        text
        for each in ast.walk(module)
        if isinstance(each, ast.FunctionDef) and each.name in ("join", "_joined")
        for back in ast.walk(each)
        if isinstance(back, ast.Return) and isinstance(back.value, ast.Tuple)
        for text in strings(module, back.value.elts[0])
    } - {""}
    wanted = {"ap_not_found", "wrong_password", "no_address", "timeout", "out_of_memory"}
    assert causes_of_radio == wanted
    for cause in causes_of_radio:
        assert causes.lookup(f"wifi/{cause}") is not None


# filling in

KEYS = [*"abc", "not_after"]
VALUES = st.one_of(
    st.text(max_size=30),
    st.text("{}[]%|?abc", max_size=12),
    st.integers(),
    st.sampled_from(["{a}", "{b", "[c]", "%s", "%(a)s", "}{", "][", "{0}"]),
)
PLAIN = st.text(st.characters(exclude_characters="{}[]"), max_size=12)
PIECES = st.one_of(PLAIN, st.sampled_from(KEYS).map(lambda key: ("key", key)))


@given(
    st.lists(st.one_of(PIECES, st.lists(PIECES, max_size=4)), max_size=6),
    st.dictionaries(st.sampled_from(KEYS), st.one_of(st.none(), VALUES)),
)
def test_evidence_is_inserted_and_never_interpreted(
    template: list[object], evidence: dict[str, object]
) -> None:
    def written(piece: object) -> str:
        if isinstance(piece, list):
            return "[" + "".join(written(each) for each in piece) + "]"
        return "{" + piece[1] + "}" if isinstance(piece, tuple) else str(piece)

    def filled(piece: object) -> str:
        if isinstance(piece, list):
            lacks = [each for each in piece if isinstance(each, tuple) and none(each[1])]
            return "" if lacks else "".join(filled(each) for each in piece)
        if isinstance(piece, tuple):
            return "?" if none(piece[1]) else str(evidence[piece[1]])
        return str(piece)

    def none(key: str) -> bool:
        return evidence.get(key) is None

    text = "".join(written(piece) for piece in template)
    assert causes.fill(text, evidence) == "".join(filled(piece) for piece in template)


@given(st.text("{}[]ab|%", max_size=30), st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_no_text_breaks_it(text: str, evidence: dict[str, object]) -> None:
    assert isinstance(causes.fill(text, evidence), str)


@given(st.sampled_from(VERDICTS + MORE), st.data())
def test_a_hostile_name_shows_up_in_the_why_as_it_is(verdict: str, data: st.DataObject) -> None:
    for text in found(verdict):
        keys = sorted(set(re.findall(r"\{([a-z0-9_]+)\}", text)))
        evidence: dict[str, object] = {key: data.draw(VALUES) for key in keys}
        filled = causes.fill(text, evidence)
        for key in keys:
            assert str(evidence[key]) in filled
        bare = {key: f"<{key}>" for key in keys}
        assert re.findall(r"[][{}]", causes.fill(text, bare)) == []
