"""Front between a gRPC client and the test, which plays init."""
