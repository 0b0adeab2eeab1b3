"""The page to listen to decoded sounds, to compare and to choose: `index.html` beside them.

Modules
-------
pictures : waveform, spectrogram and latents of a sound as images without margins
document : cards, which say what there is to tell of each sound; the page, from `index.html` (a Jinja2 template)
"""
