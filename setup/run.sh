#!/bin/sh
# Sets up with the Python found on PATH, or does nothing if all is there.
cd "$(dirname "$0")/.." || exit 1
# pip and apt are started from here: an activated environment of the caller's must not reach them
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
python=$(sh setup/find-python.sh) || exit 1
# -I: neither this folder nor the user's own packages take part; -B: no caches of another Python
exec "$python" -I -B -c '
import sys
sys.path[:0] = ["setup", "host"]
sys.argv[0] = "setup/run.sh"
import main
sys.exit(main.main())' "$@"
