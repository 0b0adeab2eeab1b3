"""All that looks at a model file before PyTorch does, without running it: no torch but the names of its operators.

model_file : a model file opened once: what it is, whether it is complete, whether its code is harmless
code : what the code of a TorchScript file could do, and which types it declares
object_table : the objects of a TorchScript file, which must be of these types
operators.txt : the operators that code may use
"""
