"""Runs the command line as `python -m firmshake`."""

from firmshake.cli import main

main()
