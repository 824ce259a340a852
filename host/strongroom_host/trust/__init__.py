"""What counts as the right enclave: pinned roots, trusted images, its owners, their manifest."""
