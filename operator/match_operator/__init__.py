"""The operator: turns a MatchCluster into Elasticsearch, an index and the Match API, and keeps it so."""
