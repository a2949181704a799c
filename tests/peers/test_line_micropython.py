"""The serial line on the real MicroPython: what it writes and reads, CPython writes and reads."""

import json
import random
import subprocess
from pathlib import Path

from firmshake import tools
from firmshake_agent import line

DEVICE = Path(line.__file__).parents[1]

# MicroPython reads a list of cases, one JSON value a line, and answers each with one
WRITE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from firmshake_agent.line import crc16, format_line, parse_line
while True:
    text = sys.stdin.readline()
    if not text:
        break
    case = json.loads(text)
    if isinstance(case, str):
        print(json.dumps([crc16(case), parse_line(case)]))
    else:
        print(json.dumps(format_line(*case)))
"""


def ask(folder: Path, cases: list[object]) -> list[object]:
    """MicroPython's answers."""
    script = folder / "script.py"
    script.write_text(WRITE)
    done = subprocess.run(
        [*tools.micropython(), str(script), str(DEVICE)],
        input="".join(json.dumps(case, ensure_ascii=False) + "\n" for case in cases),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(answer) for answer in done.stdout.splitlines()]


def events() -> list[tuple[int, int, str, str, list[tuple[str, object]]]]:
    """Events with values of every kind: escapes, other alphabets, none, numbers, too much."""
    chance = random.Random(2)
    values: list[object] = [
        None,
        0,
        -61,
        8883,
        "",
        "plain",
        "a b",
        "50%",
        "k=v",
        "*",
        "@fs1 ",
        "\n",
    ]
    values += ["é", "☕", "𝄞", "\x7f", "\x00", "x" * 700, "é" * 100]
    return [
        (n, n * 977, "tls", "fail", [(f"k{i}", chance.choice(values)) for i in range(n % 9)])
        for n in range(200)
    ]


def test_micropython_writes_what_cpython_writes(tmp_path: Path) -> None:
    cases = events()
    assert ask(tmp_path, list(cases)) == [line.format_line(*case) for case in cases]


def test_micropython_reads_what_cpython_reads(tmp_path: Path) -> None:
    good = [line.format_line(*case) for case in events()]
    bad = [text.replace("k", "j", 1) for text in good if "k" in text]
    bad += [text[: len(text) // 2] for text in good]
    bad += [signed("@fs1 1 5 tls ok a=%FF"), signed("@fs1 1 5 tls ok a=%4"), signed("@fs1 x 5 t o")]
    bad += ["", "@fs1 ", "@fs1  *", "@fs1 1 2 tls ok *", "*", "é@fs1 é *0000"]
    noisy = ["é noise @fs1 1 2 " + text + " more *0000" for text in good]
    cases = good + bad + noisy
    expected = [[line.crc16(text), line.parse_line(text)] for text in cases]
    assert ask(tmp_path, list(cases)) == json.loads(json.dumps(expected))
    assert all(line.parse_line(text) for text in good + noisy)
    assert not any(line.parse_line(text) for text in bad)


def signed(body: str) -> str:
    return f"{body} *{line.crc16(body):04X}"
