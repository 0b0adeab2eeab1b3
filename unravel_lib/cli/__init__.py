"""What the four scripts share. Everything about flags, terminals and exit codes is here or in the scripts.

startup : imported first; Ctrl-C while Python still imports
run : run a script: errors, exit codes
signals : Ctrl-C, SIGTERM and a closed terminal
terminal : messages and errors as one line, a progress bar on a terminal, log lines elsewhere
parser : the argument parser, shared flags, and those of decoder.py
batch : many inputs; those that fail are reported and skipped
jobs : processes that share the inputs of a run
failures : failures.csv
sounds : lengths and levels of decoded sounds, and their page
inspector : what inspector.py says of latents and sounds, and its questions
"""
