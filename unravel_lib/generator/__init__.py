"""The application of generator.py: what only that script uses.

flags : the flags, what they say as `GeneratorOptions`, and the lists that they print
plan : the encodings, tables and loops that a run is made from, each file read once, and what it will make
results : refused where they are too large, described, drawn, and what is said of them; files for nn~
again : the flags that made a piece, from its sidecar
"""
