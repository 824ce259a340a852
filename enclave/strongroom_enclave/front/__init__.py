"""The keyless front: gRPC and TLS, everything the host sends is parsed here and handed on."""
