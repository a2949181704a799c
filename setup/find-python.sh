#!/bin/sh
# Prints the Python to set up with. The pinned packages have wheels for 3.11 to 3.14; a later one is
# taken only where there is none of these, since it would need a compiler.
probe='import sys
if sys.version_info < (3, 11): sys.exit(1)
print(sys._base_executable)'
for name in python3.14 python3.13 python3.12 python3.11 python3 \
    python3.15 python3.16 python3.17 python3.18 python3.19 python3.20
do
    path=$(command -v "$name") || continue
    # a version manager's stand-in may be on PATH and refuse to start
    # and of a virtual environment, this one's perhaps, the Python below it is meant
    if base=$("$path" -I -c "$probe" 2>/dev/null); then
        echo "$base"
        exit 0
    fi
done
echo "setup: there is no Python 3.11 or later on PATH" >&2
echo "  install one, on Debian and Ubuntu: apt install python3 (on Ubuntu 22.04: python3.11)" >&2
exit 1
