"""Every option once: its type, default, meaning and range, for the command line, the keyword argument and its check.

Nothing here imports torch, so help and refusals come at once.
"""
