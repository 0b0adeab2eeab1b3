"""Music: loops drawn from statistics and arranged in time. No files but those of a user's own code, no torch, no flags.

distribution : what a distribution is, and its decorator
distributions : statistics -> frames: the catalogue
pattern : what a pattern is, and its decorator
analogues : retrace, oracle, excerpt: along the recordings
surrogates : spectral: new signals with the spectra of the recordings
recordings : the recordings that these two follow
patterns : loops -> long arrays: the catalogue
transform : what a transform is, and its decorator
transforms : a loop -> the loop as it is played: the catalogue
reorderings : those that choose which frame plays when
steps : the language of transforms: texts read as steps, steps applied to loops
rhythms : Euclidean rhythms and sieves
composition : a distribution, a pattern and a seed: the loops of each output file
tempo : frames <-> BPM
registry : what the catalogues share: entries found by name, listed, their options read
options : `name=value` texts read by a function's signature
user_code : functions in a user's own file: loaded, their errors named by file and line
covariance : correlated normal values, and covariances repaired
"""
