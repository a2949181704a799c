# The board's entry point on CircuitPython, which runs it as __main__. On a computer's module path
# it would stand in front of the standard library's `code`, and must do nothing there.
from firmshake_agent.agent import main

if __name__ == "__main__":
    main()
