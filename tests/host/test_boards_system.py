"""What the system tells of drives, ports and who has them open, from folders laid out alike."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from serial.tools import list_ports

from firmshake.boards import drives, holders, ports
from firmshake.boards.seen import Drive, Port, Usb

RPI_RP2 = "UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n"


class System:
    """A system's /proc, /sys and a place for mounted drives, below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/self/mounts").write_text("")
        (root / "sys/class/block").mkdir(parents=True)

    def plug(self, disk: str, location: str, vid: str, pid: str, partition: str = "") -> None:
        """A USB disk, as Linux shows it: the block device links into the USB device's folder."""
        usb = self.root / f"sys/devices/usb1/{location}"
        block = usb / f"{location}:1.0/host0/block/{disk}"
        block.mkdir(parents=True)
        for name, text in (("idVendor", vid), ("idProduct", pid), ("serial", "E0C9125B0D9B")):
            (usb / name).write_text(text + "\n")
        (self.root / "sys/class/block" / disk).symlink_to(block)
        if partition:
            (block / partition).mkdir()
            (block / partition / "partition").write_text("1\n")
            (self.root / "sys/class/block" / partition).symlink_to(block / partition)

    def mount(self, device: str, name: str, kind: str = "vfat", **files: str) -> Path:
        folder = self.root / "media" / name
        folder.mkdir(parents=True)
        for file, text in files.items():
            (folder / file.replace("_TXT", ".TXT").replace("_txt", ".txt")).write_text(text)
        line = f"/dev/{device} {str(folder).replace(' ', chr(92) + '040')} {kind} rw,nosuid 0 0\n"
        with (self.root / "proc/self/mounts").open("a") as stream:
            stream.write(line)
        return folder


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    # what is tested is Linux's way, wherever the tests run
    monkeypatch.setattr(drives.sys, "platform", "linux")
    return System(tmp_path)


def test_a_mounted_drive_has_its_usb_device_and_its_files(system: System) -> None:
    system.plug("sda", "1-5", "2e8a", "0003", partition="sda1")
    folder = system.mount("sda1", "RPI-RP2", INFO_UF2_TXT=RPI_RP2)
    assert drives.attached(system.root) == [
        Drive(
            path=str(folder),
            device="/dev/sda1",
            label="RPI-RP2",
            usb=Usb(0x2E8A, 0x0003, "E0C9125B0D9B", "1-5"),
            info_uf2=RPI_RP2,
        )
    ]


def test_a_drive_that_nobody_mounted_is_its_partition(system: System) -> None:
    system.plug("sda", "1-5", "2e8a", "0003", partition="sda1")
    system.plug("sdb", "1-6", "2e8a", "000f")
    found = drives.attached(system.root)
    assert [(drive.path, drive.device) for drive in found] == [("", "/dev/sda1"), ("", "/dev/sdb")]
    assert found[1].usb == Usb(0x2E8A, 0x000F, "E0C9125B0D9B", "1-6")


def test_a_folder_may_have_blanks_in_its_name(system: System) -> None:
    folder = system.mount("sdz1", "NO NAME", boot_out_txt="Adafruit CircuitPython")
    (found,) = drives.attached(system.root)
    assert (found.path, found.boot_out) == (str(folder), "Adafruit CircuitPython")
    assert found.usb is None


def test_other_filesystems_are_not_looked_at(system: System) -> None:
    system.mount("nvme0n1p2", "home", kind="ext4", INFO_UF2_TXT=RPI_RP2)
    assert drives.attached(system.root) == []


def test_a_file_that_is_far_too_long_is_cut_and_one_of_bytes_is_text(tmp_path: Path) -> None:
    (tmp_path / "INFO_UF2.TXT").write_bytes(b"\xff" * 100_000)
    found = drives.at(tmp_path)
    assert len(found.info_uf2) == 4096
    assert found.boot_out == ""


def test_a_system_without_such_folders_has_no_drives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drives.sys, "platform", "linux")
    assert drives.attached(tmp_path) == []
    monkeypatch.setattr(drives.sys, "platform", "darwin")
    assert drives.attached(tmp_path) == []
    (tmp_path / "Volumes/CIRCUITPY").mkdir(parents=True)
    assert [drive.label for drive in drives.attached(tmp_path)] == ["CIRCUITPY"]


# who has a port open


def process(proc: Path, pid: int, name: str) -> Path:
    folder = proc / str(pid) / "fd"
    folder.mkdir(parents=True)
    (proc / str(pid) / "comm").write_text(name + "\n")
    return folder


def test_the_program_that_has_a_port_open_is_named(tmp_path: Path) -> None:
    port, other = tmp_path / "port", tmp_path / "other"
    port.touch()
    other.touch()
    proc = tmp_path / "proc"
    (process(proc, 12, "picocom") / "5").symlink_to(port)
    (process(proc, 13, "editor") / "3").symlink_to(other)
    assert holders.of([str(port)], proc) == {str(port): "picocom (pid 12)"}


def test_another_users_program_is_seen_by_its_lock(tmp_path: Path) -> None:
    port = tmp_path / "port"
    port.touch()
    status = port.stat()
    proc = tmp_path / "proc"
    process(proc, 77, "esptool")
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    (proc / "locks").write_text(
        f"1: POSIX  ADVISORY  READ 1 00:05:1 0 EOF\n2: FLOCK  ADVISORY  WRITE 77 {device} 0 EOF\n"
    )
    assert holders.of([str(port)], proc) == {str(port): "esptool (pid 77)"}


def test_a_free_port_our_own_and_one_that_is_not_there_have_no_holder(tmp_path: Path) -> None:
    port = tmp_path / "port"
    port.touch()
    proc = tmp_path / "proc"
    (process(proc, os.getpid(), "firmshake") / "5").symlink_to(port)
    (proc / "locks").write_text("nonsense\n1: FLOCK ADVISORY WRITE x y z\n")
    assert holders.of([str(port), str(tmp_path / "gone"), "rfc2217://h:1"], proc) == {}
    assert holders.of([], proc) == {}


class Info:
    """What pyserial tells of a port."""

    def __init__(self, device: str, vid: int | None) -> None:
        self.device, self.vid, self.pid = device, vid, 5
        self.serial_number: str | None = "E661"
        self.location, self.manufacturer = "1-2:1.0", "MicroPython"
        self.product = self.interface = None


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def lists(*infos: Info) -> None:
        monkeypatch.setattr(list_ports, "comports", lambda: list(infos))

    return lists


def test_a_computers_own_serial_port_is_left_out(listed: Callable[..., None]) -> None:
    listed(Info("/dev/ttyS0", None), Info("/dev/ttyACM0", 0x2E8A))
    assert ports.attached() == [
        Port("/dev/ttyACM0", Usb(0x2E8A, 5, "E661", "1-2:1.0"), manufacturer="MicroPython")
    ]


def test_a_named_port_is_as_it_is_listed_or_else_bare(listed: Callable[..., None]) -> None:
    listed(Info("/dev/ttyACM0", 0x2E8A))
    found = ports.named(["/dev/ttyACM0", "socket://192.0.2.1:1"])
    assert [port.usb is None for port in found] == [False, True]
