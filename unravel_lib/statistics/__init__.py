"""What is known about latents. No random numbers but those of a generator that is passed.

fidelity : how true generated latents are to recorded ones; the table of that
measure : moments, quantiles and rank correlation of all frames
sources : what the sidecars of encodings agree on
summary : `Statistics`, the result
series : distances between series of frames, for fidelity
tables : statistics.csv, quantiles.csv and correlation.csv, written and read; the table on the terminal
windows : two-sample test, coverage and copies, for fidelity
"""
