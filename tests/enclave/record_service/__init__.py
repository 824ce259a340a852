"""The record at work: one run through an account, the process around it, and all end to end."""
