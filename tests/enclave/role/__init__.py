"""What the roles share: their clock, and what they check of owners before they obey."""
