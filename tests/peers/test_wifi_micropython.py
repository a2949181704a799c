"""The wifi stage against a radio that behaves as esp32's network_wlan.c does, on real MicroPython.

`status()` gives the last reason of a disconnection until there is an address; with endless retries
it gives 1001 for the reasons that it has no name for; `status("rssi")` fails unless associated.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from firmshake import tools
from firmshake_agent import line

DEVICE = Path(line.__file__).parents[1]

RADIO = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
story = json.loads(sys.argv[2])

# a clock that only moves when somebody sleeps: the machine may stand still meanwhile
class Clock:
    now = 0
    gmtime = time.gmtime
    def ticks_ms(self): return self.now
    def ticks_diff(self, end, start): return end - start
    def sleep_ms(self, ms): self.now += ms
time = sys.modules["time"] = Clock()

class WLAN:
    tries = -1
    def __init__(self, interface): self.began = None
    def active(self, on):
        if story.get("active"): raise OSError(story["active"])
    def disconnect(self): self.began = None
    def connect(self, ssid, password=None): self.began = time.ticks_ms()
    def ms(self): return -1 if self.began is None else time.ticks_diff(time.ticks_ms(), self.began)
    def associated(self): return 0 <= story.get("associated", 99999) <= self.ms()
    def isconnected(self): return 0 <= story.get("address", 99999) <= self.ms()
    def ifconfig(self): return ("10.0.0.7", "", "", "")
    def config(self, *names, **values):
        if names: return "net"
        WLAN.tries = values["reconnects"]
    def status(self, what=None):
        if what:
            if not self.associated(): raise OSError("Wifi Not Connected")
            return -60
        if self.isconnected(): return 1010
        reason = story.get("reason", 0)
        if reason in (201, 202): return reason
        if WLAN.tries < 0 or self.ms() < 500: return 1001
        return reason or 1001

class network:
    STA_IF = 0
network.WLAN = WLAN
sys.modules["network"] = network
from firmshake_agent import runtime_micropython as platform
platform._WIFI_SURE_MS = 600
print(json.dumps(platform.Runtime().join("net", "password", 2500)))
"""


@pytest.mark.parametrize(
    ("story", "cause"),
    [
        ({"associated": 100, "address": 300}, ""),
        # the first scan missed it: the old reason stands until there is an address
        ({"reason": 201, "associated": 300, "address": 1500}, ""),
        ({"reason": 201, "associated": 300}, "no_address"),
        ({"associated": 300}, "no_address"),
        ({"reason": 201}, "ap_not_found"),
        ({"reason": 202}, "wrong_password"),
        ({"reason": 15}, "wrong_password"),
        ({"reason": 204}, "wrong_password"),
        ({}, "timeout"),
        ({"active": "WiFi Out of Memory"}, "out_of_memory"),
        ({"active": "Wifi Unknown Error 0x0101"}, "out_of_memory"),
        ({"active": "Wifi Internal Error"}, "timeout"),
    ],
    ids=str,
)
def test_what_the_radio_does_is_named(tmp_path: Path, story: dict[str, object], cause: str) -> None:
    script = tmp_path / "radio.py"
    script.write_text(RADIO)
    done = subprocess.run(
        [*tools.micropython(), str(script), str(DEVICE), json.dumps(story)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found, evidence = json.loads(done.stdout)
    assert found == cause
    assert evidence.get("addr", "10.0.0.7") == "10.0.0.7"
