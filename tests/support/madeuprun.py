"""A made-up run of many boards, played to a view: `python madeuprun.py BOARDS SECONDS [KIND]`."""

import random
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from firmshake.fleet.row import BoardRow, BoardState, Totals
from firmshake.fleet.view import View

# share of the whole work at which each stage begins
STAGES = (
    (0.0, "look"),
    (0.03, "claim"),
    (0.05, "issue"),
    (0.08, "write"),
    (0.6, "proof"),
    (0.65, "wifi"),
    (0.75, "clock"),
    (0.8, "tls"),
    (0.9, "mqtt"),
)
ENDS: dict[BoardState, dict[str, str]] = {
    "proved": {"words": "connects to the broker", "verdict": "ready", "stage": "ready"},
    "failed": {
        "words": "The broker's certificate for \x1b[31mbroker.lab\x07 expired on 2026-01-01.",
        "verdict": "tls.server_certificate/expired",
        "fix": "Renew the broker's certificate (firmshake ca broker) and reload the broker.",
    },
    "refused": {"words": "no line of the manifest names this board"},
    "gone": {"words": "unplugged while it was written"},
}


def rows(boards: int, steps: int, seed: int = 1) -> Iterator[BoardRow]:
    """Yield what `boards` boards go through, `steps` times each, one after the other."""
    chance = random.Random(seed)
    ends: list[BoardState] = ["proved"] * boards
    for number, end in enumerate(("failed", "failed", "refused", "gone")):
        ends[(number * 5 + 3) % boards] = end
    speeds = [chance.uniform(0.7, 1.4) for _ in range(boards)]
    began = time.monotonic()
    for step in range(1, steps + 1):
        for number in range(boards):
            done = step / steps * speeds[number] * 1.4
            row = BoardRow(f"k{number}", f"rfc2217://127.0.0.1:{4000 + number}", "working")
            row = replace(row, unique_id=f"a0:b1:c2:d3:e4:{number:02x}", began_s=began)
            if done > 0.05:
                row = replace(row, device_id=f"lab-a0b1c2d3e4{number:02x}")
            if done >= 1:
                end = ends[number]
                yield replace(row, state=end, ended_s=time.monotonic(), **ENDS[end])  # type: ignore[arg-type]
            else:
                stage = [name for share, name in STAGES if share <= done][-1]
                yield replace(row, stage=stage, done=done)


def play(view: View, boards: int, seconds: float, pause_s: float = 0.1) -> None:
    """Play such a run to a view, all boards at once, each told of every `pause_s`."""
    began, last = time.monotonic(), {}
    for number, row in enumerate(rows(boards, max(int(seconds / pause_s), 1))):
        if number % boards == 0:
            time.sleep(pause_s)
            states = [known.state for known in last.values()]
            proved, elapsed = states.count("proved"), time.monotonic() - began
            view.totals(
                Totals(
                    wanted=boards,
                    proved=proved,
                    failed=states.count("failed"),
                    working=states.count("working"),
                    here=proved,
                    per_minute=proved / elapsed * 60,
                    elapsed_s=elapsed,
                )
            )
        if row.key not in last or last[row.key].state == "working":
            view.board(row)
            last[row.key] = row


def main() -> None:
    from firmshake.cli.fleetview import view

    kind = sys.argv[3] if len(sys.argv) > 3 else "auto"
    with view(kind, bell=True) as shown:  # type: ignore[arg-type]
        shown.note("waiting for more boards: Ctrl-C ends it once those at work are done")
        used = time.process_time()
        play(shown, int(sys.argv[1]), float(sys.argv[2]))
        used = time.process_time() - used
    sys.stderr.write(f"{used / float(sys.argv[2]):.1%} of a core\n")


if __name__ == "__main__":
    main()
