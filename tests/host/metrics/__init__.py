"""What the metrics add up to, against definitions, properties and quantstats."""
