"""The virtual board with the real MicroPython in it: what was flashed runs, and tools reach it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import littlefs
import pytest
import serial
from support import pki, servers
from support.boardtools import (
    at_prompt,
    begin,
    console,
    mpremote,
    read_until,
    settled,
    wait_until,
)

from firmshake.virtual import VirtualBoard, Wifi, standin_firmware

FILESYSTEM = 0x200000
# no line of the product's is that slow: only a hang gets here
PATIENCE_S = 60


def filesystem(files: dict[str, bytes], blocks: int = 512) -> bytes:
    """A LittleFS as MicroPython mounts it on an ESP32."""
    made = littlefs.LittleFS(
        block_size=4096,
        block_count=blocks,
        read_size=32,
        prog_size=32,
        cache_size=128,
        lookahead_size=32,
        disk_version=0x00020000,
    )
    for name, data in files.items():
        made.makedirs(os.path.dirname(name) or "/", exist_ok=True)
        with made.open(name, "wb") as file:
            file.write(data)
    return bytes(made.context.buffer)


def flashed(files: dict[str, bytes], **options: object) -> VirtualBoard:
    """A board with these files, which waits in its bootloader: see `begin`."""
    board = VirtualBoard(boot_held=True, **options)  # type: ignore[arg-type]
    board.flash.program(FILESYSTEM, filesystem(files))
    return board


@pytest.fixture(scope="module")
def idle() -> Iterator[VirtualBoard]:
    """A board at its prompt, for tests that leave it there."""
    with VirtualBoard(wifi=Wifi("home", "secret word")) as board:
        settled(board.url)
        yield board


def test_what_was_flashed_runs_after_reset() -> None:
    main = b"import greeting, sys\nprint('it is', greeting.WORD, sys.path)\n"
    with (
        flashed({"main.py": main, "lib/greeting.py": b"WORD = 'firm'"}) as board,
        console(board.url) as port,
    ):
        begin(board, port)
        seen = read_until(port, b">>> ")
    assert b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n" in seen
    assert b"it is firm ['', '.frozen', '/lib']\r\n" in seen
    assert b"MicroPython v1." in seen


def test_what_the_board_writes_is_in_its_flash_and_survives_a_reset() -> None:
    main = b"with open('n', 'a') as f:\n f.write('x')\nprint('wrote', open('n').read())\n"
    with flashed({"main.py": main}) as board, console(board.url) as port:
        begin(board, port)
        read_until(port, b">>> ")
        for _ in range(2):
            board.press_reset()
            read_until(port, b">>> ")
        image = board.flash.read(FILESYSTEM, 2 << 20)
    made = littlefs.LittleFS(block_size=4096, block_count=512, mount=False)
    made.context.buffer[:] = image
    made.mount()
    with made.open("n", "rb") as file:
        assert file.read() == b"xxx"


def test_an_erased_filesystem_is_formatted_and_a_damaged_one_is_left_alone() -> None:
    with VirtualBoard(boot_held=True) as board, console(board.url) as port:
        board.flash.erase(FILESYSTEM, 2 << 20)
        begin(board, port)
        assert b"Performing initial setup" in read_until(port, b">>> ")
        board.flash.program(FILESYSTEM, bytes(8192))
        damaged = board.flash.read(FILESYSTEM, 2 << 20)
        board.press_reset()
        read_until(port, b"corrupted")
        read_until(port, b"corrupted")
        assert board.flash.read(FILESYSTEM, 2 << 20) == damaged


def test_mpremote_executes_copies_and_lists(idle: VirtualBoard, tmp_path: Path) -> None:
    assert mpremote(idle.url, "exec", "print(6 * 7)") == "42\n"
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(bytes(range(256)) * 5)
    mpremote(idle.url, "fs", "cp", str(source), ":/copied")
    assert "1280 copied" in mpremote(idle.url, "fs", "ls", ":/")
    mpremote(idle.url, "fs", "cp", ":/copied", str(back))
    assert back.read_bytes() == source.read_bytes()


def test_mpremote_stops_a_program_that_never_ends() -> None:
    with flashed({"main.py": b"while True:\n print('tick')\n"}) as board:
        with console(board.url) as port:
            begin(board, port)
            read_until(port, b"tick")
        assert mpremote(board.url, "exec", "print('stopped')") == "stopped\n"


def test_an_error_shows_the_programs_lines_and_none_of_the_boards_own(idle: VirtualBoard) -> None:
    with console(idle.url) as port:
        port.write(b"\r\x03\x01")
        read_until(port, b"raw REPL; CTRL-B to exit\r\n>")
        port.write(b"print('before')\n1/0\x04")
        seen = read_until(port, b"\x04>")
        port.write(b"\x02")
        read_until(port, b">>> ")
    assert seen == (
        b"OKbefore\r\n\x04Traceback (most recent call last):\r\n"
        b'  File "<stdin>", line 2, in <module>\r\n'
        b"ZeroDivisionError: divide by zero\r\n\x04>"
    )


def test_the_prompt_for_people_edits_continues_and_restarts(idle: VirtualBoard) -> None:
    with console(idle.url) as port:
        port.write(b"\r\x03")
        read_until(port, b">>> ")
        port.write(b"12\x7f3 * 2\r")
        assert b"\r\n26\r\n>>> " in read_until(port, b"26\r\n>>> ")
        port.write(b"for n in (1, 2):\r  print(n * 7)\r\r")
        read_until(port, b"7\r\n14\r\n>>> ")
        port.write(b"\x04")
        read_until(port, b"MPY: soft reboot\r\n")
        read_until(port, b">>> ")


def test_two_interrupts_at_once_leave_the_board_at_its_prompt() -> None:
    main = b"print('alive')\nwhile True:\n pass\n"
    with flashed({"main.py": main}) as board, console(board.url) as port:
        begin(board, port)
        # while a board starts, Ctrl-C is a byte like any other, and no program takes it
        read_until(port, b"alive")
        port.write(b"\r\x03\x03")
        read_until(port, b">>> ")
        port.write(b"6 * 7\r")
        read_until(port, b"\r\n42\r\n")


def test_the_computers_files_cannot_be_seen(idle: VirtualBoard) -> None:
    listed = mpremote(idle.url, "exec", "import os; print(sorted(os.listdir('/')))")
    assert "etc" not in listed
    assert "boot.py" in listed
    opened = mpremote(
        idle.url, "exec", "try:\n open('/etc/passwd')\nexcept OSError as e:\n print(e.errno)"
    )
    assert opened == "2\n"


@pytest.mark.parametrize(
    ("ssid", "password", "status"),
    [("home", "secret word", 1010), ("home", "wrong", 202), ("away", "secret word", 201)],
)
def test_wifi_ends_as_on_an_esp32(
    idle: VirtualBoard, ssid: str, password: str, status: int
) -> None:
    code = (
        "import network, time\n"
        "w = network.WLAN(network.STA_IF)\n"
        "w.active(True)\n"
        # a machine that stands still for so long finds it connected already
        "for _ in range(9):\n"
        f" w.connect({ssid!r}, {password!r})\n"
        " if w.status() == network.STAT_CONNECTING: break\n"
        "print(w.status() == network.STAT_CONNECTING)\n"
        "while w.status() == network.STAT_CONNECTING: time.sleep_ms(10)\n"
        "print(w.status(), w.isconnected(), w.ifconfig()[0] != '0.0.0.0')\n"
        "w.active(False)\n"
    )
    connected = status == 1010
    assert mpremote(idle.url, "exec", code) == f"True\n{status} {connected} {connected}\n"


def test_seconds_count_from_2000_and_the_machine_is_itself(idle: VirtualBoard) -> None:
    code = (
        "import time, machine\n"
        "print(time.gmtime(0)[:3], time.gmtime()[0], time.time() < 86400)\n"
        "print(machine.unique_id().hex(), machine.RTC().datetime()[0])\n"
    )
    told = mpremote(idle.url, "exec", code)
    assert told == f"(2000, 1, 1) 2000 True\n{idle.mac.replace(':', '')} 2000\n"


def test_the_board_judges_certificates_by_its_own_clock(tmp_path: Path) -> None:
    fleet = pki.fleet()
    context = servers.context(fleet.broker, tmp_path)
    with servers.tls(context, servers.hold) as port:
        main = f"""
import json, machine, socket, tls, time
def meet():
    s = socket.socket()
    s.connect(socket.getaddrinfo('127.0.0.1', {port})[0][-1])
    c = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    c.load_verify_locations(open('/ca.der', 'rb').read())
    try:
        c.wrap_socket(s, server_hostname='127.0.0.1')
        return 'good'
    except (ValueError, OSError) as e:
        return str(e).strip()
    finally:
        s.close()
print('at first:', meet())
machine.RTC().datetime(({pki.NOW.year}, {pki.NOW.month}, {pki.NOW.day}, 0, 23, 59, 0, 0))
print('and now:', meet())
"""
        files = {"main.py": main.encode(), "ca.der": fleet.device.anchors_der()}
        with flashed(files) as board, console(board.url) as line:
            assert board.has_own_clock
            begin(board, line)
            seen = read_until(line, b">>> ")
    assert b"at first: The certificate validity starts in the future\r\n" in seen
    assert b"and now: good\r\n" in seen


def test_at_another_speed_the_board_is_not_understood() -> None:
    with VirtualBoard() as board:
        with console(board.url) as port:
            at_prompt(port)
            port.baudrate = 9600
            port.write(b"6 * 7\r")
            port.baudrate = 115200
            port.write(b"\r\x03" + b"1 + 1\r")
            seen = read_until(port, b"\r\n2\r\n")
        assert b"42" not in seen


def test_a_second_tool_finds_the_port_in_use(idle: VirtualBoard) -> None:
    with console(idle.url), pytest.raises(serial.SerialException):
        serial.serial_for_url(idle.url, 115200)
    with console(idle.url) as port:
        port.write(b"\r\x03")
        read_until(port, b">>> ")


# ends: whatever happens to the board, no process stays


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        try:
            yield run
        finally:
            run.kill()


def children(of: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{of}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has just ended
            found += map(int, (task / "children").read_text().split())
    return found


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until_gone(processes: list[int]) -> None:
    wait_until(lambda: all(gone(process) for process in processes))


def test_unplugged_the_board_is_off_and_its_port_refuses() -> None:
    with flashed({"main.py": b"print('alive')\nwhile True: pass\n"}) as board:
        with console(board.url) as port:
            begin(board, port)
            read_until(port, b"alive")
            running = children(os.getpid())
            board.unplug()
            wait_until_gone([one for one in running if one not in children(os.getpid())])
            with pytest.raises(serial.SerialException):
                read_until(port, b"more")
        with pytest.raises(serial.SerialException, match="refused"):
            serial.serial_for_url(board.url, 115200)
        board.replug()
        with console(board.url) as port:
            board.press_reset()
            read_until(port, b"alive")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_the_command_ends_nothing_stays_behind(end: signal.Signals, tmp_path: Path) -> None:
    flash = tmp_path / "flash.bin"
    command = [sys.executable, "-m", "firmshake", "virtual", "--flash", str(flash)]
    with started(command) as run:
        assert run.stdout is not None
        assert run.stdout.readline().startswith(b"rfc2217://127.0.0.1:")
        wait_until(lambda: bool(children(run.pid)))
        running = children(run.pid)
        run.send_signal(end)
        rest, complaint = run.communicate(timeout=PATIENCE_S)
        assert b"Traceback" not in complaint
        assert rest == b""
        assert run.returncode == {signal.SIGKILL: -9}.get(end, 128 + end)
    wait_until_gone(running)


def test_a_busy_board_dies_with_a_host_that_was_started_to_ignore_hang_up(tmp_path: Path) -> None:
    flash = tmp_path / "flash.bin"
    busy = filesystem({"main.py": b"while True:\n print('busy')\n for _ in range(9999): pass\n"})
    flash.write_bytes((b"\xff" * 0x1000 + standin_firmware()).ljust(FILESYSTEM, b"\xff") + busy)
    command = [sys.executable, "-m", "firmshake", "virtual", "--flash", str(flash)]
    with started(["sh", "-c", "trap '' HUP INT; exec \"$@\"", "sh", *command]) as run:
        assert run.stdout is not None
        url = run.stdout.readline().decode().strip()
        with console(url) as port:
            read_until(port, b"busy")
        running = children(run.pid)
        assert running
        run.kill()
    wait_until_gone(running)


def test_the_command_keeps_the_flash_in_a_file_and_a_secret_out_of_sight(tmp_path: Path) -> None:
    flash, secret = tmp_path / "flash.bin", tmp_path / "password"
    secret.write_text("very secret\n")
    options = ["--flash", str(flash), "--blank", "--flash-size", "2MB", "--clock", "now"]
    command = [sys.executable, "-m", "firmshake", "virtual", *options]
    command += ["--ssid", "home", "--wifi-password", str(secret), "--faster-than-life"]
    with started(command) as run:
        assert run.stdout is not None
        assert run.stdout.readline().startswith(b"rfc2217://127.0.0.1:")
        assert b"very secret" not in Path(f"/proc/{run.pid}/cmdline").read_bytes()
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=PATIENCE_S)
    assert flash.read_bytes() == b"\xff" * (2 << 20)
    assert flash.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--mac", "hello"], 2, "six bytes such as"),
        (["--clock", "soon"], 2, "a time such as"),
        (["--heap", "0"], 2, "a size such as"),
        (["--heap", "much"], 2, "a size such as"),
        (["--heap", "16k"], 2, "a size such as"),
        (["--fault", "explode"], 2, "no fault is named"),
        (["--fault", "full-drive"], 2, "full-drive is not for this board"),
        (["--fault", "noisy-line=2"], 2, "noisy-line=SHARE"),
        (["--replug-after", "nan"], 2, "no number of seconds"),
        (["--drive", "nowhere"], 2, "not for this kind of board"),
        (["--board", "pico-w"], 2, "needs a folder for its drive"),
        (["--board", "pico-w", "--drive", ".", "--mac", "02:00:00:00:00:00"], 2, "not for this"),
        (["--board", "pico-w", "--drive", "x", "--unique-id", "12"], 2, "8 bytes"),
        (["--board", "esp32-c3", "--circuitpython", "--drive", "x"], 1, "no USB of its own"),
        (["--wifi-password", "nowhere"], 2, "cannot be read from nowhere"),
        (["--flash", "nowhere/flash.bin"], 1, "cannot be opened"),
        (["--port", "{busy}"], 1, "cannot be had"),
    ],
)
def test_what_cannot_be_had_is_said_in_a_line(
    idle: VirtualBoard, tmp_path: Path, options: list[str], status: int, said: str
) -> None:
    options = [option.replace("{busy}", str(idle.port)) for option in options]
    run = subprocess.run(
        [sys.executable, "-m", "firmshake", "virtual", *options],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert run.returncode == status
    assert said in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""
