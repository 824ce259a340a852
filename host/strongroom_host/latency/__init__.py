"""Where the time goes between a tick and an order: stages, histograms, and how they are shown."""
