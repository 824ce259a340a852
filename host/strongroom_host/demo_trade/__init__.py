"""`make demo-trade`: a strategy trades on a moving test venue, through enclave and relay."""
