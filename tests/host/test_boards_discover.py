"""From what the system says of ports and drives to one row for each board."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake.boards import adapters, drivefiles, uniqueid
from firmshake.boards import row as rows
from firmshake.boards.discover import rows as discovered
from firmshake.boards.row import Row
from firmshake.boards.seen import Drive, Port, Usb
from firmshake.boards.table import BOARDS

PICO = Port(
    "/dev/ttyACM0",
    Usb(0x2E8A, 0x0005, "E6616408432F8E32", "1-2:1.0"),
    "MicroPython",
    "Board in FS mode",
    "Board CDC",
)
BOOT_OUT = (
    "Adafruit CircuitPython 9.2.1 on 2024-11-20; Raspberry Pi Pico 2 W with rp2350a\n"
    "Board ID:raspberry_pi_pico2_w\nUID:AABBCCDDEEFF0011\nMAC:28:CD:C1:09:0D:E2\n"
)
CIRCUITPY_PORT = Port(
    "/dev/ttyACM2",
    Usb(0x239A, 0x8162, "AABBCCDDEEFF0011", "1-4:1.0"),
    "Raspberry Pi",
    "Pico 2 W",
    "CircuitPython CDC control",
)
CIRCUITPY_DRIVE = Drive(
    "/media/CIRCUITPY",
    "/dev/sdb1",
    "CIRCUITPY",
    Usb(0x239A, 0x8162, "AABBCCDDEEFF0011", "1-4"),
    boot_out=BOOT_OUT,
)
RPI_RP2 = "UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n"
RP2350 = "UF2 Bootloader v1.0\r\nModel: Raspberry Pi RP2350\r\nBoard-ID: RP2350\r\n"


def one(ports: list[Port], drives: list[Drive] | None = None) -> Row:
    found = discovered(ports, drives or [])
    assert len(found) == 1, found
    return found[0]


# what each state looks like


def test_micropython_on_a_pico_is_told_by_its_usb_numbers() -> None:
    row = one([PICO])
    assert (row.state, row.unique_id) == ("micropython", "e6616408432f8e32")
    # MicroPython has one pair of numbers for both
    assert row.chips == ("RP2040", "RP2350")
    assert row.ports == ("/dev/ttyACM0",)


def test_micropython_on_an_s3_shows_its_mac_with_two_bytes_behind() -> None:
    port = Port("/dev/ttyACM0", Usb(0x303A, 0x4001, "7CDFA1001133ABCD", "1-1:1.0"))
    assert one([port]).unique_id == "7c:df:a1:00:11:33"
    assert one([port]).state == "micropython"


def test_an_old_micropythons_serial_number_is_no_id() -> None:
    port = Port("/dev/ttyACM0", Usb(0x303A, 0x4001, "123456", "1-1:1.0"))
    assert one([port]).unique_id is None


def test_a_chips_own_usb_may_be_boot_loader_or_program() -> None:
    port = Port("/dev/ttyACM0", Usb(0x303A, 0x1001, "7C:DF:A1:00:11:22", "1-1:1.0"))
    row = one([port])
    assert (row.state, row.unique_id) == ("program", "7c:df:a1:00:11:22")
    assert set(row.chips) == {"ESP32-S3", "ESP32-C3", "ESP32-C6"}


@pytest.mark.parametrize("numbers", adapters.ADAPTERS)
def test_behind_an_adapter_anything_may_be_and_its_number_is_not_the_boards(
    numbers: tuple[int, int],
) -> None:
    row = one([Port("/dev/ttyUSB0", Usb(*numbers, "0123456789ABCDEF", "1-1"))])
    assert (row.state, row.unique_id) == ("adapter", None)
    assert row.title == "an ESP32 family board, perhaps"
    assert row.adapter


def test_circuitpythons_port_and_drive_are_one_board() -> None:
    row = one([CIRCUITPY_PORT], [CIRCUITPY_DRIVE])
    assert (row.state, row.version) == ("circuitpython", "9.2.1")
    assert row.unique_id == "aabbccddeeff0011"
    assert (row.ports, row.drive) == (("/dev/ttyACM2",), "/media/CIRCUITPY")
    assert (row.boards, row.board_id) == (("pico-2-w",), "raspberry_pi_pico2_w")


def test_they_are_one_board_by_its_number_where_the_system_does_not_place_the_drive() -> None:
    row = one([CIRCUITPY_PORT], [replace(CIRCUITPY_DRIVE, usb=None, device="")])
    assert (row.ports, row.drive) == (("/dev/ttyACM2",), "/media/CIRCUITPY")
    other = replace(CIRCUITPY_DRIVE, usb=None, boot_out=BOOT_OUT.replace("AABB", "0000"))
    assert len(discovered([CIRCUITPY_PORT], [other])) == 2


def test_a_second_serial_port_of_circuitpython_is_the_same_board() -> None:
    second = replace(
        CIRCUITPY_PORT,
        device="/dev/ttyACM3",
        usb=Usb(0x239A, 0x8162, "AABBCCDDEEFF0011", "1-4:1.2"),
        interface="CircuitPython CDC2 control",
    )
    assert one([second, CIRCUITPY_PORT]).ports == ("/dev/ttyACM2", "/dev/ttyACM3")


def test_circuitpython_on_a_board_that_is_not_in_the_table_has_its_chip() -> None:
    text = (
        "Adafruit CircuitPython 10.0.0-beta.3 on 2025-09-01; Adafruit QT Py ESP32-S3 no psram"
        " with ESP32S3\nBoard ID:adafruit_qtpy_esp32s3_nopsram\nUID:C7FD1A001133\n"
        "MAC:7C:DF:A1:00:11:33\n"
    )
    row = one([], [Drive("/media/CIRCUITPY", boot_out=text)])
    assert (row.chips, row.boards) == (("ESP32-S3",), ("esp32-s3",))
    assert (row.version, row.title) == ("10.0.0-beta.3", "Adafruit QT Py ESP32-S3 no psram")
    assert row.unique_id == "7c:df:a1:00:11:33"


def test_circuitpython_swaps_the_digits_of_an_esp32s_number_and_that_is_undone() -> None:
    mac = "7c:df:a1:00:11:33"
    assert uniqueid.of_usb("C7FD1A001133", "esp", "circuitpython") == mac
    assert uniqueid.of_boot_out("C7FD1A001133", "", "esp") == mac
    assert uniqueid.of_boot_out("C7FD1A001133", "7C:DF:A1:00:11:33", "esp") == mac


@pytest.mark.parametrize(
    ("text", "chip", "board"), [(RPI_RP2, "RP2040", "pico-w"), (RP2350, "RP2350", "pico-2-w")]
)
def test_a_pico_in_bootsel_is_told_by_its_drive(text: str, chip: str, board: str) -> None:
    row = one([], [Drive("/media/PICO", "/dev/sda1", info_uf2=text)])
    assert (row.state, row.chips, row.boards) == ("uf2", (chip,), (board,))


def test_the_rp2040s_boot_loader_has_one_number_for_all_and_it_is_no_id() -> None:
    usb = Usb(0x2E8A, 0x0003, "E0C9125B0D9B", "1-5")
    row = one([], [Drive("/media/RPI-RP2", "/dev/sda1", usb=usb, info_uf2=RPI_RP2)])
    assert row.unique_id is None
    assert row.key == "1-5"


def test_two_picos_in_bootsel_stay_two() -> None:
    first, second = (
        Drive(f"/media/RPI-RP2{n}", usb=Usb(0x2E8A, 3, "E0C9125B0D9B", f"1-{n}"), info_uf2=RPI_RP2)
        for n in (1, 2)
    )
    assert len(discovered([], [first, second])) == 2


def test_a_drive_that_nobody_mounted_is_seen_by_its_numbers() -> None:
    usb = Usb(0x2E8A, 0x000F, "1122334455667788", "1-7")
    row = one([], [Drive("", "/dev/sdc1", usb=usb)])
    assert (row.state, row.unique_id, row.block_device) == ("uf2", "1122334455667788", "/dev/sdc1")
    assert row.note == "not mounted"
    assert one([CIRCUITPY_PORT], [replace(CIRCUITPY_DRIVE, path="", boot_out="")]).note == (
        "its drive is not mounted"
    )


def test_a_read_only_drive_says_so() -> None:
    row = one([CIRCUITPY_PORT], [replace(CIRCUITPY_DRIVE, writable=False)])
    assert not row.writable
    assert "read-only" in row.note


def test_a_busy_port_says_who_has_it() -> None:
    assert one([replace(PICO, holder="picocom (pid 12)")]).busy_by == "picocom (pid 12)"


def test_what_is_no_board_is_left_out() -> None:
    modem = Port("/dev/ttyACM9", Usb(0x1234, 0x5678, "1", "1-9"), "Maker", "Modem")
    stick = Drive("/media/stick", "/dev/sdd1", "STICK", Usb(0x0781, 0x5567, "4C53", "1-8"))
    assert discovered([modem], [stick, Drive("/media/other")]) == []
    # a control: the same port with MicroPython in its texts is one
    assert one([replace(modem, manufacturer="MicroPython")]).state == "micropython"


def test_a_port_that_the_user_names_is_a_row_whatever_it_is() -> None:
    row = one([Port("rfc2217://192.0.2.1:2217")])
    assert (row.state, row.ports) == ("unknown", ("rfc2217://192.0.2.1:2217",))


# the project's names


@pytest.mark.parametrize("known", ["E6616408432F8E32", "e6:61:64:08:43:2f:8e:32"])
def test_a_board_has_its_device_id_however_the_registry_writes_its_number(known: str) -> None:
    assert rows.named([one([PICO])], {known: "pump-1"})[0].device_id == "pump-1"
    assert rows.named([one([PICO])], {"00" * 8: "pump-1"})[0].device_id is None


def test_a_board_without_a_number_has_no_device_id() -> None:
    row = Row("adapter", ports=("/dev/ttyUSB0",))
    assert rows.named([row], {"not hexadecimal": "pump-1"})[0].device_id is None


def test_a_board_that_is_plugged_in_twice_is_one_row_once_it_told_its_number() -> None:
    asked = Row("micropython", unique_id="7c:df:a1:00:11:33", ports=("/dev/ttyUSB0",))
    own = Row("micropython", unique_id="7c:df:a1:00:11:33", ports=("/dev/ttyACM0",))
    silent = [Row("adapter", ports=(f"/dev/ttyUSB{n}",)) for n in (1, 2)]
    found = rows.merged([asked, silent[0], own, silent[1]])
    assert found == [replace(asked, ports=("/dev/ttyUSB0", "/dev/ttyACM0")), *silent]


# what changes


def test_a_board_that_starts_something_else_has_changed_and_is_no_new_one() -> None:
    repl = Row("micropython", unique_id="e6616408432f8e32", ports=("/dev/ttyACM0",))
    boot = Row("uf2", unique_id="e6616408432f8e32", drive="/media/RP2350")
    assert list(rows.changes([repl], [boot])) == [("changed", boot)]
    assert list(rows.changes([], [boot])) == [("appeared", boot)]
    assert list(rows.changes([boot], [])) == [("gone", boot)]
    assert list(rows.changes([boot], [boot])) == []


# whatever comes


NUMBERS = [(usb.vid, usb.pid) for board in BOARDS for usb in board.usb]
texts = st.text(max_size=20)
usbs = st.builds(
    lambda numbers, serial, location: Usb(*numbers, serial, location),
    st.sampled_from([*NUMBERS, *adapters.ADAPTERS, (0x1234, 1), (0x239A, 0x80F4)]),
    st.one_of(st.sampled_from(["", "E6616408432F8E32", "7CDFA1001133", "123456"]), texts),
    st.sampled_from(["", "1-1", "1-1:1.0", "1-1.2:1.0", "2-1"]),
)
ports = st.lists(
    st.builds(
        Port,
        st.integers(0, 9).map(lambda n: f"/dev/ttyACM{n}"),
        st.none() | usbs,
        texts,
        st.sampled_from(["", "MicroPython", "CircuitPython", "ESP32-S3-DevKitC-1"]),
        texts,
    ),
    max_size=5,
    unique_by=lambda port: port.device,
)
drives = st.lists(
    st.builds(
        Drive,
        st.sampled_from(["", "/media/a", "/media/b"]),
        st.sampled_from(["", "/dev/sda1"]),
        texts,
        st.none() | usbs,
        st.sampled_from(["", RPI_RP2, RP2350]) | texts,
        st.sampled_from(["", BOOT_OUT]) | texts,
        st.booleans(),
    ),
    max_size=3,
)


@given(ports, drives)
def test_no_port_is_in_two_rows_and_all_of_it_is_json(
    given_ports: list[Port], given_drives: list[Drive]
) -> None:
    found = discovered(given_ports, given_drives)
    listed = [port for row in found for port in row.ports]
    assert len(listed) == len(set(listed))
    assert set(listed) <= {port.device for port in given_ports}
    for row in found:
        assert row.ports or row.drive or row.block_device or row.location or row.note
        assert row.unique_id is None or uniqueid.digits(row.unique_id)
        json.dumps(row.to_dict())


@given(ports, drives, st.randoms(use_true_random=False))
def test_the_order_in_which_the_system_lists_things_does_not_matter(
    given_ports: list[Port], given_drives: list[Drive], random: object
) -> None:
    mixed = list(given_ports)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    once = discovered(given_ports, [])
    assert sorted(row.ports for row in once) == sorted(row.ports for row in discovered(mixed, []))


@given(ports, ports)
def test_changes_lead_from_one_list_to_the_other(before: list[Port], after: list[Port]) -> None:
    old, new = discovered(before, []), discovered(after, [])
    state = {row.key: row for row in old}
    for change in rows.changes(old, new):
        if change.event == "gone":
            del state[change.row.key]
        else:
            state[change.row.key] = change.row
    assert state == {row.key: row for row in new}


@given(st.text(max_size=300))
def test_the_files_of_a_drive_may_hold_anything(text: str) -> None:
    for each in (text, "Adafruit CircuitPython " + text, "UF2 Bootloader " + text, BOOT_OUT + text):
        boot, info = drivefiles.parse_boot_out(each), drivefiles.parse_info(each)
        for said in (*(boot or ()), *(info or ())):
            assert said.isprintable()
            assert len(said) <= 200


@given(st.text(max_size=40))
def test_a_serial_number_may_be_anything(text: str) -> None:
    for family in ("esp", "rp2"):
        for state in ("micropython", "circuitpython", "program", "bootloader"):
            found = uniqueid.of_usb(text, family, state)  # type: ignore[arg-type]
            assert found is None or uniqueid.digits(found)
