"""Music: loops drawn from statistics and arranged in time.

No file is read here but a user's own code, and nothing depends on torch or on the flags of the scripts.

A loop is a short array of frames, float64 [n_frames, dims]. Three kinds of functions, chosen by name, make a piece:

    statistics --distribution--> loops A, B, ... --pattern--> A A B A ... --transforms--> the piece, one long array

To read in this order, and before it the text on top of `kinds`, which says what the three functions are given:

distributions : statistics -> a loop; `draw`
patterns : loops -> a piece; `Piece`, `arrange`
transforms : a loop -> the loop as it is played
rhythms : Euclidean rhythms and sieves, for transforms
composition : one of each and a seed -> the piece of each output file

Distributions that play what was recorded:

recordings : which moments of the recordings are worth a loop, where loops begin, periods, fitting to a tempo
following : retrace, oracle, excerpt: along the recordings
steering : wishes for how a loop sounds
mosaic : recorded frames in the order in which they resemble another sound
spectral : new signals with the spectra of the recordings

How functions are chosen by name:

kinds : what a distribution, a pattern and a transform are: the inputs that their functions take, their options
catalogue : the catalogues of all three: registered by decorators, found by name or in a user's own file
steps : the language of transforms, such as "every 4 rev": texts read as steps, steps applied to loops
"""

# what they define is registered, in this order
from unravel_lib.music import distributions, following, spectral, mosaic, patterns, transforms  # noqa: F401, I001
