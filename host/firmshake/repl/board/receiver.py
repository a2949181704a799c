# mypy: ignore-errors
# The first block: takes the others apart into files beside the old ones, and puts them in place.
# Given: STAGE, ENTRY, FILES (a line "size place" for each that travels; the last is the program that
# finishes an update), SUM (their SHA-256 as hex), MOVES (pairs of lines: a place and the path that
# it goes to, or nothing and a path that goes), ALL (the paths that the board is to hold), BLOCKS.

import os


def room_for(path):
    # its folders; empty ones hurt nobody if the update ends here
    at = path.find("/", 1)
    while at > 0:
        try:
            os.mkdir(path[:at])
        except OSError as error:
            if error.args[0] != 17:
                raise
        at = path.find("/", at + 1)


def receive(pairs):
    buffer = bytearray(1024)
    view = memoryview(buffer)
    number = left = 0
    file = None
    for block in range(1, BLOCKS):
        stream = get(block)
        while True:
            while not left and number < len(pairs):
                if file:
                    file.close()
                left, place = pairs[number]
                left = int(left)
                file = open(place, "wb")
                number += 1
            count = stream.readinto(view[: min(left, 1024)])
            if not count:
                break
            file.write(view[:count])
            left -= count
        stream = None
    file.close()


def digest(paths):
    try:
        sha = hashlib.sha256()
    except AttributeError:
        sha = hashlib.new("sha256")
    buffer = bytearray(1024)
    view = memoryview(buffer)
    for path in paths:
        with open(path, "rb") as file:
            while True:
                count = file.readinto(buffer)
                if not count:
                    break
                sha.update(view[:count])
    return "".join("%02x" % byte for byte in sha.digest())


def work():
    pairs = [line.split(" ", 1) for line in FILES.split("\n")]
    for path in [pair[1] for pair in pairs] + MOVES.split("\n")[1::2]:
        room_for(path)
    receive(pairs)
    if digest(pair[1] for pair in pairs) != SUM:
        raise ValueError("flash")
    with open(STAGE + "/list", "w") as file:
        file.write(MOVES)
    # from here on the new files are the board's, whatever happens
    say("commit")
    os.rename(pairs[-1][1], ENTRY)
    with open(ENTRY) as file:
        source = file.read()
    exec(source[: source.rindex("\nexec(")], {})
    return digest(ALL.split("\n"))
