"""Writes docs/diagnosis.md: each fault, what the agent says, and what stock clients say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from firmshake import tools
from firmshake.ca.identity import Identity
from firmshake.faults import Faults, Row

HERE = Path(__file__).parent
DOCUMENT = HERE.parent / "docs" / "diagnosis.md"

LIMIT_S = 6
_WIDTH = 90  # of what a client says, in the table
_SILENCE = f"nothing within {LIMIT_S} s"

_HEAD = """\
# Diagnosis: each fault, and who says what

Written by `make score DOCS=1`: every fault of `firmshake faults`, what the agent says of it on each
runtime, and what three stock clients say of the same fault. {total} climbs: the stage is right in
{stages}, the cause in {causes}.

Any single case takes two commands, here `{sample}`; the first prints its port:

```
firmshake faults serve --case {sample} --identity-dir id
firmshake doctor 127.0.0.1:PORT --ca id/ca.pem --cert id/client.pem --key id/client.key
```

The stock clients are a MicroPython program as examples write it (`tls` and a socket),
`mosquitto_pub` and `openssl s_client`. Where the agent's verdict differs between runtimes, each is
given: under TLS 1.3 a refusal is encrypted, and MicroPython cannot read its reason.

| fault | TLS | the agent | MicroPython example | mosquitto_pub | openssl s_client |
|---|---|---|---|---|---|
"""


def write(results: Sequence[object]) -> None:
    """Ask the stock clients, and write the document."""
    verdicts: dict[tuple[str, str], dict[str, str]] = {}
    for result in results:
        verdicts.setdefault((result.case, result.version), {})[result.runtime] = result.said
    names = list(dict.fromkeys(result.case for result in results))
    with Faults(names) as faults, tempfile.TemporaryDirectory() as folder:
        clients = Clients(faults.pki.client, Path(folder))
        with ThreadPoolExecutor(2) as pool:
            said = list(pool.map(lambda row: clients.ask(row), faults.rows))
        lines = [
            _line(row, verdicts[row.case.name, row.version], answers)
            for row, answers in zip(faults.rows, said, strict=True)
        ]
    stages = sum(result.stage_right for result in results) / len(results)
    causes = sum(result.cause_right for result in results) / len(results)
    head = _HEAD.format(
        total=len(results), stages=f"{stages:.1%}", causes=f"{causes:.1%}", sample="expired"
    )
    DOCUMENT.write_text(head + "\n".join(lines) + "\n")


def _line(row: Row, verdicts: dict[str, str], answers: Sequence[str]) -> str:
    groups: dict[str, list[str]] = {}
    for runtime, verdict in verdicts.items():
        groups.setdefault(verdict, []).append(runtime)
    parts = [
        f"`{verdict}`" + (f" ({', '.join(names)})" if len(groups) > 1 else "")
        for verdict, names in groups.items()
    ]
    cells = [row.case.what, row.version, "; ".join(parts), *answers]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


class Clients:
    """Three stock clients with one identity."""

    def __init__(self, identity: Identity, folder: Path) -> None:
        self._identity = identity
        self._ca = folder / "ca.pem"
        self._cert = folder / "client.pem"
        self._key = folder / "client.key"
        self._ca.write_bytes(identity.anchors_pem())
        self._cert.write_bytes(identity.chain_pem())
        self._key.touch(0o600)
        self._key.write_bytes(identity.key_pem())

    def ask(self, row: Row) -> list[str]:
        """What each says of this fault: its last words."""
        return [self._board(row), self._mosquitto(row), self._openssl(row)]

    def _board(self, row: Row) -> str:
        name = str(row.case.settings.get("server_name", "127.0.0.1"))
        shows = row.case.client == "good"
        chain = [self._identity.key_der(), self._identity.chain_der()] if shows else [b"", b""]
        lines = [*chain, self._identity.anchors_der()]
        command = [*tools.micropython(), str(HERE / "stock_board.py"), "127.0.0.1"]
        return _last(
            [*command, str(row.port), name], "\n".join(data.hex() for data in lines) + "\n"
        )

    def _mosquitto(self, row: Row) -> str:
        command = [*tools.mosquitto_client("pub"), "-h", "127.0.0.1", "-p", str(row.port)]
        command += ["--cafile", str(self._ca), "-t", "devices/x/echo", "-m", "x"]
        if row.case.client == "good":
            command += ["--cert", str(self._cert), "--key", str(self._key)]
        return _last(command)

    def _openssl(self, row: Row) -> str:
        if not shutil.which("openssl"):
            return "not installed"
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{row.port}", "-verify", "5"]
        command += ["-CAfile", str(self._ca), "-verify_return_error", "-verify_ip", "127.0.0.1"]
        if row.case.client == "good":
            command += ["-cert", str(self._cert), "-cert_chain", str(self._cert)]
            command += ["-key", str(self._key)]
        return re.sub(r"^[0-9A-F]{8,}:", "", _last(command, errors_only=True))  # the thread's id


def _last(command: Sequence[str], text: str = "", errors_only: bool = False) -> str:
    """The last line that a command says, shortened for the table."""
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, errors="replace", timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return _SILENCE
    words = done.stderr if errors_only else done.stdout + done.stderr
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    if errors_only:
        lines = [line for line in lines if "error" in line.lower() or "alert" in line.lower()]
    if not lines:
        return "no error" if done.returncode == 0 else f"exit status {done.returncode}"
    return lines[-1][:_WIDTH]


if __name__ == "__main__":
    sys.exit("run score.py --docs")
