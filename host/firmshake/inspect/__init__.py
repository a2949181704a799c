"""`firmshake inspect`: what a file or a folder is, what is wrong with it, and what to do.

`reading` gets bytes from where they are, `recognise` tells what they are, a module a kind reads
them, `relations` holds what was found against each other, `show` and `record` put it in words.
"""
