"""The archive of a log: on storage that lets nobody change or delete it before its time.

`export` writes segments, boots and a manifest of digests to a store (`bucket`: S3 with Object Lock;
`folder`: a write-once directory), `check` verifies them, `restore` makes a log of them again.
"""
