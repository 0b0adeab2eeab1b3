"""What the four scripts share. Everything about flags, terminals and exit codes is here or in the scripts.

batch : many inputs, the ones that fail reported and skipped
failures : failures.csv
generate : the work of generator.py
messages : options as flags, every error as one line
parser : the argument parser and shared flags
process : memory, threads and a quick end of the process
progress : a bar on a terminal, elsewhere a line now and then
prompt : the questions of inspector.py
run : messages, errors, exit codes
signals : Ctrl-C, SIGTERM and a closed terminal
startup : imported first; Ctrl-C while Python still imports
"""
