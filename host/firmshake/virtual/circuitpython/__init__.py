"""CircuitPython's shape: modules that behave on CPython as CircuitPython 9 and 10 do on a board.

No CircuitPython exists for computers, so this is all imitated, after its sources (shared-bindings,
shared-module, supervisor): `ssl`, `socketpool`, `wifi`, `rtc`, `supervisor`, `storage`,
`microcontroller`, a small `os`, files below the drive's root, the prompts, auto-reload, boot.py and
boot_out.txt. TLS itself is OpenSSL, limited to what the firmware's mbedTLS does: TLS 1.2, no dates,
one number for every refused certificate. What differs and is left as it is: the language is
CPython's, compiled `.mpy` files do not load, memory is not limited, and `time` is the computer's.

`start.py` runs it as a board's processor. Its modules take the places of CPython's own, so they are
loaded in a process of their own, by the package's bare name, with this folder's parent on the path.
"""
