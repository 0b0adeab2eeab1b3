"""What is known about latents. No random numbers.

encodings : latents read piece by piece, from files or arrays
measure : moments, quantiles and rank correlation of all frames
sources : what the sidecars of encodings agree on
summary : `Statistics`, the result
tables : statistics.csv and correlation.csv, written and read; the table on the terminal
"""
