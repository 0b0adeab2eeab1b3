"""What is known about latents. No random numbers but those of a generator that is passed.

measure : `Statistics`: moments, quantiles and correlations of all frames
tables : statistics.csv, quantiles.csv and correlation.csv, written and read; the table on the terminal
fidelity : how true generated latents are to recorded ones; the table of that
"""
