"""A real Kubernetes on one Linux machine, for end-to-end tests and for trying the product. See README.md."""
