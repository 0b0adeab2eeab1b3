"""Files in and out, whatever they contain.

find : find input files in folders and shards of them, open them, their SHA-256
naming : names of results
folders : output folders, and the folder of one run
atomic : write files so that no reader sees an incomplete one
sidecar : the JSON beside every result
"""
