"""Latents on disk and in memory, without torch.

npy : latents files: read, checked, written atomically
latent_audio : latents as a multichannel float WAV: its header, read back
read : latents read from either kind of file
blocks : long arrays as a sequence of loops: counted, re-blocked
overview : what a picture shows of a long array, collected block by block
formats : what a long array is written as: latents file, latent audio, held latent audio
"""
