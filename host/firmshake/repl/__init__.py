"""A board's REPL as a way in: raw REPL and raw-paste, who runs there, and the fast upload.

`rawrepl` runs programs, `running` asks what runs, `upload` replaces a board's files as a whole. The
programs that run on the board are the files in board/.
"""
