"""What a log says about the decisions of models and people: read, added up, and rendered.

`reading` goes through the leaves once and gives a `Record` of what happened; `page` renders it as
one HTML file, `tables` as CSV. Nothing here verifies a log: see `strongroom_host.log.verify`.
"""
