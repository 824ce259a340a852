"""The one-shot process that talks to a venue, in this process and against a venue that misbehaves."""
