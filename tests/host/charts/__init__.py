"""What is drawn of a series, in a terminal and as a page."""
