"""The tick ring: shared memory from one producer to many consumers in other processes.

`tick` is the 64-byte record, `writer` and `reader` are the two ends, `segment` is the memory
between them.
"""
