"""Where images are kept, behind one interface: one file, or Elasticsearch."""
