"""A real Kubernetes and a real Elasticsearch on one machine, so that no test needs a stand-in for either."""
