# mypy: ignore-errors
# The first block: takes the others apart into files beside the old ones, and puts them in place.
# Given: STAGE, ENTRY, FILES (a line "size path" for each that travels; the last is the program that
# finishes an update), SUM (their SHA-256 as hex), ALL (the paths that the board is to hold, one a
# line), DROP (paths that go, one a line), BLOCKS.

import os


def clear():
    try:
        for name in os.listdir(STAGE):
            os.remove(STAGE + "/" + name)
    except OSError:
        os.mkdir(STAGE)


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


def place(number):
    return STAGE + "/" + str(number)


def receive(sizes):
    buffer = bytearray(1024)
    view = memoryview(buffer)
    number = left = 0
    file = None
    for block in range(1, BLOCKS):
        stream = get(block)
        while True:
            while not left and number < len(sizes):
                if file:
                    file.close()
                file = open(place(number), "wb")
                left = sizes[number]
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
    clear()
    receive([int(pair[0]) for pair in pairs])
    last = len(pairs) - 1
    if digest(place(number) for number in range(len(pairs))) != SUM:
        raise ValueError("flash")
    for _, path in pairs[:-1]:
        room_for(path)
    with open(STAGE + "/list", "w") as file:
        for number in range(last):
            file.write(place(number) + "\n" + pairs[number][1] + "\n")
        for path in DROP.split("\n"):
            if path:
                file.write("\n" + path + "\n")
    # from here on the new files are the board's, whatever happens
    say("commit")
    os.rename(place(last), ENTRY)
    with open(ENTRY) as file:
        source = file.read()
    exec(source[: source.rindex("\nexec(")], {})
    return digest(ALL.split("\n"))
