"""Market data in: venues' streams, normalised to 64-byte ticks, with a count of what was missed.

`core` decides what is published and when something may have been missed; `polymarket`, `binance`,
`coinbase` and `bitcoin` read their venue's messages; `keeper` holds the connections.
"""
