"""How a file was made, by its sidecar and the commands that sidecars hold.

Modules
-------
commands : the flags of a recorded command, and the command for a shell
steps : the way from recordings to a result, step by step
"""
