"""Why and fix of every cause, read line by line from causes.txt, so that they cost no heap.

The one vocabulary of board and host. Runs unmodified on MicroPython, CircuitPython and CPython.
"""


def _path() -> str:
    here = __file__
    return here[: here.rfind("/") + 1] + "causes.txt"


def keys(verdict: str) -> "tuple[str, ...]":
    """The names under which a verdict may stand: itself, its stage's, and that of every stage."""
    stage, _, cause = verdict.partition("/")
    stage = stage.split(".")[0]
    return (verdict, stage + "/" + cause, "*/" + cause)


def lookup(verdict: str) -> "tuple[str, str] | None":
    """(why, fix) as written, placeholders and all, or None for an unknown verdict.

    Raises OSError where causes.txt cannot be read.
    """
    names = keys(verdict)
    with open(_path()) as file:
        for line in file:
            fields = line.rstrip().split("|")
            if fields[0] in names:
                # special lines stand above general ones in the file, so the first match is right
                return fields[1], fields[2]
    return None


def fill(text: str, evidence: "dict[str, object]") -> str:
    """The text with its {keys} replaced; a [clause] that lacks evidence is left out.

    Outside a clause, a key without evidence becomes "?".
    """
    parts = []
    while text:
        opening = text.find("[")
        closing = text.find("]", opening)
        if opening < 0 or closing < 0:
            parts.append(_replace(text, evidence) or _replace(text, evidence, "?") or "")
            break
        parts.append(_replace(text[:opening], evidence, "?") or "")
        parts.append(_replace(text[opening + 1 : closing], evidence) or "")
        text = text[closing + 1 :]
    return "".join(parts)


def _replace(
    text: str, evidence: "dict[str, object]", missing: "str | None" = None
) -> "str | None":
    pieces = text.split("{")
    parts = [pieces[0]]
    for piece in pieces[1:]:
        key, _, rest = piece.partition("}")
        value = evidence.get(key)
        if value is None:
            value = missing
        if value is None:
            return None
        parts.append(str(value))
        parts.append(rest)
    return "".join(parts)
