"""The main job from end to end, as three parties would do it: owners, a host, and a venue.

Each party has its own folder and its own processes. Every step uses the library functions that the
`strongroom` commands use, and every claim that is printed was checked first: `require` or an
expected refusal stands behind each line.
"""
