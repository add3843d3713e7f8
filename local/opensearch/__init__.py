"""A real OpenSearch in place of osmem-server, for `make test-opensearch` and `make bench`."""
