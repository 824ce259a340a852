"""What venues say about an account: their pages, proved to continue each other, as events."""
