"""Plays the host against running boots: nothing it does widens a limit or gets a signature."""
