"""What the four scripts share. Everything about flags, terminals and exit codes is here or in the scripts.

startup : imported first; Ctrl-C while Python still imports
run : run a script: messages, errors, exit codes
signals : Ctrl-C, SIGTERM and a closed terminal
process : memory, threads and a fast exit of the process
messages : options as flags, every error as one line
parser : the argument parser and shared flags
batch : many inputs; those that fail are reported and skipped
failures : failures.csv
progress : a progress bar on a terminal, log lines elsewhere
levels : length and loudness of decoded sounds
inspector_prompt, inspector_results : the questions of inspector.py, and what it says of latents and sounds
decoder_page : the page of decoder.py
"""
