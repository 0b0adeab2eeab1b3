"""The page to listen to decoded sounds, to compare and to choose: `index.html` beside them.

Modules
-------
cards : what the page tells of each sound
steps : how it was made, step by step
provenance : where a sound came from, by the sidecars
commands : the commands that make it again
pictures : waveform, spectrogram and latents of a sound as images without margins
document : the page itself, from `index.html` (a Jinja2 template), `style.css` and `script.js`
"""
