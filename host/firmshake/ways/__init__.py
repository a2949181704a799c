"""The ways onto a board: esptool, its REPL, a UF2 file on its drive, the CIRCUITPY drive.

`way` is what all have in common, `choose` finds the one for a board, and a module each is one.
"""
