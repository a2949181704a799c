# mypy: ignore-errors
# The serial line of a board at rest: a prompt for people (friendly REPL) and one for programs (raw
# REPL), and the running of files. Bytes and order are those of shared/runtime/pyexec.c, which the
# unix port of MicroPython has only from 1.27.
#
# The terminal turns "\n" into "\r\n". While code runs it turns Ctrl-C into KeyboardInterrupt;
# while a line is read Ctrl-C is a byte.

import io
import os
import sys
import termios
import time

_CTRL_A, _CTRL_B, _CTRL_C, _CTRL_D, _CTRL_E = 1, 2, 3, 4, 5
_BACKSPACE = (8, 127)
_ESCAPE = 27

# Half of what the port takes unread (pyexec.c: MICROPY_REPL_STDIN_BUFFER_MAX)
_WINDOW = 128

_HINT = 'Type "help()" for more information.'
RAW_BANNER = "raw REPL; CTRL-B to exit\n"


class Gone(Exception):
    # the serial line is no more, and the board with it
    pass


class Console:
    def __init__(self, scope, settings, hidden):
        self.raw = settings["mode"] == "raw"
        self._scope = scope
        version = sys.version.split("; ")[1]
        self._banner = "%s; %s\n%s" % (version, settings["machine"], _HINT)
        self._isig = settings["isig"]
        # where this file lies: frames from here are none of the user's business
        self._hidden = 'File "' + hidden
        self._in = open(0, "rb")

    def serve(self):
        # returns at a soft reset
        while True:
            try:
                if self._raw() if self.raw else self._friendly():
                    return
                self.raw = not self.raw
            except KeyboardInterrupt:
                # raised a moment late, for code that has ended
                pass

    def run_file(self, name):
        # whether it ran to its end, or there is none
        try:
            os.stat("/" + name)
        except OSError:
            return True
        return self._run(lambda: execfile(name, self._scope))  # noqa: F821

    def repeat(self, text):
        self._interruptible(True)
        try:
            while True:
                print(text)
                time.sleep_ms(3000)
        except KeyboardInterrupt:
            pass
        self._interruptible(False)
        self.serve()

    # the two prompts: each returns whether the board starts again, else the other one follows

    def _raw(self):
        _write(RAW_BANNER + ">")
        while True:
            source, key = self._raw_source()
            if key == _CTRL_B:
                _write("\n")
                return False
            if key == _CTRL_A:
                if source == b"\x05A":
                    self._raw_paste()
                    _write(">")
                elif len(source) == 2 and source[0] == _CTRL_E:
                    # no such way to send a program: the plain one follows at once
                    _write("R\0>")
                else:
                    _write(RAW_BANNER + ">")
                continue
            _write("OK")
            if not source:
                _write("\n")
                return True
            self._run(lambda: self._execute(source, "exec"), eof="\x04")
            _write("\x04>")

    def _raw_source(self):
        source = bytearray()
        while True:
            key = self._key()
            if key in (_CTRL_A, _CTRL_B, _CTRL_D):
                return source, key
            if key == _CTRL_C:
                source = bytearray()
            else:
                source.append(key)

    def _raw_paste(self):
        # reference/repl, "Raw-paste mode": the window's size, and that twice as much may come; one
        # more \1 for each window taken; \4 for the end, from either side
        sys.stdout.buffer.write(bytes((0x52, 1, _WINDOW, 0, 1)))
        source, left = bytearray(), _WINDOW
        while True:
            key = self._key()
            if key in (_CTRL_C, _CTRL_D):
                break
            source.append(key)
            left -= 1
            if not left:
                _write("\1")
                left = _WINDOW
        _write("\4")
        if key == _CTRL_C:
            self._run(_interrupted, eof="\x04")
        else:
            self._run(lambda: self._execute(source, "exec"), eof="\x04")
        _write("\x04")

    def _friendly(self):
        _write(self._banner + "\n")
        while True:
            source, key = self._friendly_source()
            _write("\n")
            if key == _CTRL_A:
                return False
            if key == _CTRL_B:
                _write(self._banner + "\n")
            elif key == _CTRL_D:
                return True
            elif key != _CTRL_C and source.strip():
                self._run(lambda: self._execute(bytes(source, "utf8"), "single"))

    def _friendly_source(self):
        source, prompt = "", ">>> "
        while True:
            line, key = self._line(prompt)
            if key is not None and not (key == _CTRL_D and source):
                return "", key
            source += line + "\n"
            # a block goes on until an empty line, brackets until they are closed
            if key == _CTRL_D or not _goes_on(source, line):
                return source, None
            _write("\n")
            prompt = "... "

    def _line(self, prompt):
        _write(prompt)
        line = ""
        while True:
            key = self._key()
            if key == 13:
                return line, None
            if key in (_CTRL_A, _CTRL_B, _CTRL_D) and line:
                continue
            if key in (_CTRL_A, _CTRL_B, _CTRL_C, _CTRL_D):
                return "", key
            if key in _BACKSPACE and line:
                line = line[:-1]
                _write("\b \b")
            elif key == _ESCAPE:
                self._skip_escape()
            elif key >= 32 or key == 9:
                line += chr(key)
                _write(chr(key))

    def _skip_escape(self):
        # ESC [ ... letter: cursor keys, which this prompt does not know
        if self._key() == 0x5B:
            while not 0x40 <= self._key() <= 0x7E:
                pass

    def _key(self):
        byte = self._in.read(1)
        if not byte:
            raise Gone
        return byte[0]

    # running code

    def _execute(self, source, kind):
        exec(compile(str(source, "utf8"), "<stdin>", kind), self._scope)

    def _run(self, what, eof=""):
        done, trace = True, ""
        try:
            self._interruptible(True)
            what()
            self._interruptible(False)
        except SystemExit:
            self._interruptible(False)
            raise
        except BaseException as error:
            self._interruptible(False)
            done, trace = False, self._trace(error)
        _write(eof)
        _write(trace)
        return done

    def _trace(self, error):
        text = io.StringIO()
        sys.print_exception(error, text)
        lines = text.getvalue().split("\n")
        return "\n".join(line for line in lines if self._hidden not in line)

    def _interruptible(self, value):
        try:
            # read anew: the program may have changed the line's speed
            attributes = termios.tcgetattr(0)
            flags = attributes[3]
            attributes[3] = flags | self._isig if value else flags & ~self._isig
            termios.tcsetattr(0, termios.TCSANOW, attributes)
            if not value:
                # one jump, so that a Ctrl-C of the last moment surfaces here and nowhere later
                for _ in (0,):
                    pass
        except KeyboardInterrupt:
            pass


def _interrupted():
    raise KeyboardInterrupt


def _goes_on(source, line):
    opened = sum(source.count(c) for c in "([{") - sum(source.count(c) for c in ")]}")
    first = source.split("\n", 1)[0].rstrip()
    if opened > 0:
        return True
    return (first.endswith(":") or first.startswith("@")) and line.strip() != ""


def _write(text):
    sys.stdout.write(text)
