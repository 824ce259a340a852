"""The trading loop: ticks to decisions, decisions to signed requests, requests to the venue."""
