"""A series of returns drawn: in a terminal, as SVG, and as a page without scripts."""
