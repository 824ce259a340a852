"""What an operator copies to a machine: units, settings, policies, and the guide around them."""
