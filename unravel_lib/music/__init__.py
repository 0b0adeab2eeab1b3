"""Music: loops drawn from statistics and arranged in time. No files but those of a user's own code, no torch, no flags.

kinds : what a distribution, a pattern and a transform are: which inputs their functions take, their options
catalogue : the catalogues of all three: registered by decorators, found by name or in a user's own file
distributions : statistics -> frames
recordings : which moments of the recordings are worth a loop, where loops begin, periods, fitting to a tempo
following : retrace, oracle, excerpt: along the recordings
steering : wishes for how a loop sounds
mosaic : the course of another sound in the material of the recordings
spectral : new signals with the spectra of the recordings
patterns : a loop -> a piece
transforms : a loop -> the loop as it is played
rhythms : Euclidean rhythms and sieves
steps : the language of transforms: texts read as steps, steps applied to loops
composition : a distribution, a pattern, steps and a seed -> the piece of each output file
tempo : frames <-> BPM
"""
