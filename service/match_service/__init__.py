"""The Match HTTP service: reverse image search over Elasticsearch or an embedded store."""
