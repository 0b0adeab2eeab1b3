"""Files in and out, whatever they contain.

Modules
-------
find : find input files in folders
naming : name results
atomic : write files and folders so that no reader sees an incomplete one
sidecar : the JSON beside every result
"""
