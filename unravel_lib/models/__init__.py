"""Model files checked, loaded and run; with `audio.resample` and `inspection` the only code that imports torch.

model_file : a model file opened once: its kind, whether it is complete, whether its code is harmless
archive : the zip archive that most model files are
mistakes : what a file is that is not a model
code_scan, object_table, operators : what code and objects inside a TorchScript file could do, read without running it
torchscript : TorchScript modules: loading, methods, attributes, calls
contract : sample rate, compression, dims and channels of a model
direction : encode or decode: the shapes of its input and output
conditions : what decode takes beside the latents
probe : properties found by calling a model on silence and noise
state : the state of a model, saved at load time and restored
context : how many frames around a frame its result depends on, measured
delay : the delay that a streaming export states
runner : one direction of a model, run call by call
model : a loaded model, run on whole files in constant memory
codec : whole recordings encoded and decoded, from and to files or arrays
pocket : the bundled pocket model
"""
