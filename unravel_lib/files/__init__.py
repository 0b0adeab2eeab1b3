"""Files in and out, whatever they contain.

find : find input files in folders and shards of them, open them, their SHA-256
output : output folders, the folder of one run, names of results
atomic : write files so that no reader sees an incomplete one; locks on folders
sidecar : the JSON beside every result
"""
