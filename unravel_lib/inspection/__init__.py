"""Facts about any model file; no file is trusted.

inspect : one file opened, and all that is known about it
facts : what is known, as data
exports : what a TorchScript export states about itself, by families
checkpoints : training checkpoints and safetensors
answers : what one tensor or attribute is, as text
report : facts as text and as CSV
worker : the process in which model files are opened
"""
