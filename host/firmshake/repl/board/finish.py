# firmshake: an update that was cut short is finished here, and what it brought is started
import os


def move(old, new):
    try:
        os.rename(old, new) if old else os.remove(new)
    except OSError as error:
        # done before the power went
        if error.args[0] != 2:
            raise


def finish():
    with open("{stage}/list") as file:
        lines = file.read().split("\n")
    entry = None
    for old, new in zip(lines[::2], lines[1::2]):  # noqa: B905
        if new == "{entry}":
            entry = old
        else:
            move(old, new)
    os.rename(entry, "{entry}")
    # what is left hurts nobody
    try:
        os.remove("{stage}/list")
        os.rmdir("{stage}")
    except OSError:
        pass


finish()
exec(open("{entry}").read())
