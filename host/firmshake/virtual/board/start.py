# mypy: ignore-errors
# The first file that the virtual board's MicroPython runs, from the computer's disk. Its globals
# become those of the board's REPL, so it leaves none behind.
__import__("kernel").run(globals())
