"""Reads what is written to a board's flash: firmware, images, UF2, filesystems. Does no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from firmshake import firmware, partitions, uf2
from firmshake.ca.finding import NOTE, WARNING, WRONG, Finding
from firmshake.errors import Error
from firmshake.image import ERASED, Run
from firmshake.inspect import board, filesystem
from firmshake.inspect.desk import Desk
from firmshake.inspect.thing import Thing
from firmshake.wording import plural

Look = Callable[[bytes, str, Desk], Thing]
Facts = list[tuple[str, str]]

_GET = "Get the .bin for this board from micropython.org/download."
_SHOWN = 6
_LARGEST_FLASH = 32 * 1024 * 1024
# the ESP32 boots at 0x1000; nothing lies in front of it in an image of its whole flash
_BOOT = 0x1000


def look(data: bytes, where: str, desk: Desk, recognise: Look) -> Thing | None:
    """What the image holds; None where it is none. `recognise` looks into its files."""
    if uf2.is_one(data):
        return _uf2(data, where, desk, recognise)
    if data[:1] == bytes([firmware.IMAGE_MAGIC]):
        made = _firmware(data, where)
    elif _has_table(data):
        made = _flash(data, where)
    else:
        made = None
    trees = list(filesystems(data, 0, where, desk, recognise))
    if made is not None:
        return replace(made, inside=tuple(trees))
    if not trees:
        return None
    if len(trees) == 1 and trees[0].facts[0] == ("offset", "0x0"):
        return trees[0]
    return Thing(where, "flash", "image of a flash, or of a part of one", inside=tuple(trees))


def filesystems(data: bytes, base: int, where: str, desk: Desk, recognise: Look) -> Iterator[Thing]:
    """Every filesystem in the data, which lies at `base` in flash or in memory."""
    for tree in filesystem.trees(data):
        yield _tree(tree, base, where, desk, recognise)


def _tree(tree: filesystem.Tree, base: int, where: str, desk: Desk, recognise: Look) -> Thing:
    name = {"littlefs": "LittleFS", "fat": "FAT"}[tree.kind]
    total = sum(tree.sizes.values())
    facts: Facts = [
        ("offset", f"{base + tree.offset:#x}"),
        ("size", f"{tree.size // 1024:,} KiB"),
        ("files", f"{len(tree.sizes):,} with {total // 1024:,} KiB{_named(list(tree.sizes))}"),
    ]
    found = []
    if tree.problem:
        what = f"The filesystem is damaged: LittleFS says {tree.problem!r}."
        fix = "Provision the board again; a board that cannot mount it formats it or stops."
        found.append(Finding(WRONG, "damaged", what, fix))
    if tree.cut:
        what = "The image ends before the filesystem does."
        fix = "Harmless if the rest is empty flash; else read the whole flash again."
        found.append(Finding(WARNING, "cut_off", what, fix))
    inside, more = board.look(tree.contents, tree.sizes, where, desk, recognise)
    title = f"{name} filesystem with {len(tree.sizes):,} files"
    return Thing(where, tree.kind, title, tuple(facts), (*found, *more), inside)


def _named(paths: list[str]) -> str:
    if not paths:
        return ""
    first = sorted(paths, key=lambda path: (path.count("/"), path))[:_SHOWN]
    return f": {', '.join(first)}" + (", ..." if len(paths) > _SHOWN else "")


def _firmware(data: bytes, where: str) -> Thing:
    app = firmware.app_of(data)
    try:
        found = firmware.identify(data)
    except Error as error:
        if app is not None:
            return _application(data, where, app)
        return _damaged(where, "firmware", error)
    return _described(found, where, "firmware", len(data))


def _flash(data: bytes, where: str) -> Thing:
    try:
        found = firmware.identify(data[_BOOT:])
    except Error as error:
        return _damaged(where, "flash", error)
    return _described(found, where, "flash", len(data))


def _described(found: firmware.Firmware, where: str, kind: str, size: int) -> Thing:
    name = f"MicroPython {found.micropython}" if found.micropython else found.app.project
    facts: Facts = [
        ("chip", found.chip),
        (
            "version",
            f"{name or 'no name'} {'' if found.micropython else found.app.version}".strip(),
        ),
        ("idf", found.app.idf),
        ("offset", f"{found.offset:#x}" if kind == "firmware" else "0x0"),
        ("size", f"{size // 1024:,} KiB"),
        ("partitions", ", ".join(f"{row.label} at {row.offset:#x}" for row in found.table)),
    ]
    title = f"{name or 'an application'} for {found.chip}"
    title += ", with all of its flash" if kind == "flash" else ""
    return Thing(where, kind, title, tuple(facts), tuple(_of_firmware(found)))


def _of_firmware(found: firmware.Firmware) -> Iterator[Finding]:
    if not found.micropython:
        what = "It is not MicroPython: firmshake's agent needs that, 1.23 or later."
        yield Finding(NOTE, "not_micropython", what, _GET)
    elif firmware.version_of(found.micropython) < firmware.OLDEST_MICROPYTHON:
        what = f"MicroPython {found.micropython} is too old for the agent, which needs 1.23."
        yield Finding(WRONG, "too_old", what, _GET)


def _application(data: bytes, where: str, app: firmware.App) -> Thing:
    version = firmware.micropython_version(data)
    name = f"MicroPython {version}" if version else f"{app.project} {app.version}".strip()
    what = "It holds an application alone: it updates over the air and cannot boot by itself."
    findings = [Finding(NOTE, "application_only", what, _GET)]
    try:
        firmware.check_image(data, 0, "application")
    except Error as error:
        findings.append(_of_error(error))
    facts = (("version", name), ("idf", app.idf), ("size", f"{len(data) // 1024:,} KiB"))
    return Thing(where, "application", f"application {name} for an ESP32", facts, tuple(findings))


def _damaged(where: str, kind: str, error: Error) -> Thing:
    title = "ESP32 firmware that cannot be used" if kind == "firmware" else "image of a flash"
    return Thing(where, kind, title, (), (_of_error(error),))


def _of_error(error: Error) -> Finding:
    fix = f"{error.hint[:1].upper()}{error.hint[1:]}." if error.hint else _GET
    said = error.message.removeprefix("it ").removeprefix("its ")
    return Finding(WRONG, "damaged", f"The image is not in order: {said}.", fix)


def _has_table(data: bytes) -> bool:
    try:
        partitions.parse(data[partitions.TABLE_OFFSET : partitions.TABLE_OFFSET + 0x1000])
    except Error:
        return False
    return True


def _uf2(data: bytes, where: str, desk: Desk, recognise: Look) -> Thing:
    found = uf2.parse(data)
    facts: Facts = []
    inside: list[Thing] = []
    for part in found.parts:
        spans = [f"{start:#x} to {end:#x}" for start, end in uf2.ranges(part)]
        more = f" and {len(spans) - _SHOWN} more" if len(spans) > _SHOWN else ""
        listed = ", ".join(spans[:_SHOWN]) + more
        facts.append(("family", f"{part.name}: {part.blocks:,} blocks, {listed}"))
        for run in _filled(part.runs):
            inside += filesystems(run.data, run.offset, where, desk, recognise)
    names = ", ".join(part.name for part in found.parts) or "nobody"
    return Thing(
        where, "uf2", f"UF2 for {names}", tuple(facts), tuple(_of_uf2(found)), tuple(inside)
    )


def _filled(runs: Sequence[Run]) -> Iterator[Run]:
    """The runs with erased flash between them, up to the largest flash that a board has.

    A file brings only the blocks of a filesystem that matter.
    """
    start, found = 0, bytearray()
    for offset, data in runs:
        end = offset + len(data) - start
        if not found or end > _LARGEST_FLASH:
            if found:
                yield Run(start, bytes(found))
            start, found = offset, bytearray()
        found.extend(bytes([ERASED]) * (offset - start - len(found)))
        found[offset - start : offset - start + len(data)] = data
    if found:
        yield Run(start, bytes(found))


def _of_uf2(found: uf2.Uf2) -> Iterator[Finding]:
    fix = "Get the file again; a board may stop half-written, and needs BOOTSEL to be saved."
    if found.broken:
        what = f"Damaged: {_counted(found.broken)}, from place {found.broken[0]} in the file on."
        yield Finding(WRONG, "damaged", what, fix)
    if found.rest:
        what = f"It is cut off: {found.rest} bytes of its last block are there."
        yield Finding(WRONG, "cut_off", what, fix)
    for part in found.parts:
        if part.missing:
            first = part.missing[0]
            what = f"Missing: {_counted(part.missing)} of {part.name}, from number {first} on."
            yield Finding(WRONG, "missing_blocks", what, fix)
        if part.repeated:
            what = f"There more than once: {_counted(part.repeated)} of {part.name}."
            again = "UF2 files cannot be put together by copying: make one from the parts."
            yield Finding(WRONG, "repeated_blocks", what, again)
        if part.overlaps:
            what = f"Blocks of {part.name} are for the same addresses: the last one wins."
            yield Finding(WARNING, "overlap", what, fix)
        if part.family is None:
            what = "It does not say for which chip it is: every board takes it."
            yield Finding(WARNING, "no_family", what, "Get one that is made for this chip.")
    if not found.parts:
        yield Finding(WRONG, "damaged", "No block of it is for flash.", fix)


def _counted(places: Sequence[int]) -> str:
    return f"{len(places):,} {plural(len(places), 'block')}"
