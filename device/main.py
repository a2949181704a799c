# The board's entry point on MicroPython. Ctrl-C on the serial line leads to the REPL.
from firmshake_agent.agent import main

main()
