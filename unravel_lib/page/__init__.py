"""The page to listen to decoded sounds, to compare and to choose: `index.html` beside them.

Modules
-------
cards : what the page tells of each sound
pictures : waveform, spectrogram and latents of a sound as images without margins
document : the page itself, from `index.html` (a Jinja2 template), `style.css` and `script.js`
"""
