"""The application of generator.py: what only that script uses.

flags : the flags, and what they say as `GeneratorOptions`
sources : the encodings, tables and loops that a run is made from, each file read once
plan : what a run will make
results : pieces made, refused where they are too large, described, written, drawn
again : the flags that made a piece, from its sidecar
report : what is printed: lists on stdout, messages on stderr
"""
