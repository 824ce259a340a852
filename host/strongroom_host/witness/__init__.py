"""A witness of logs (C2SP tlog-witness): cosigns one history of each, and never two.

`signing` decides, `memory` makes sure that what was decided is never forgotten, `http` and `server`
carry bytes.
"""
