"""The one-shot process that talks to a venue, against one that misbehaves."""
