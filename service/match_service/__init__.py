"""The Match HTTP service: reverse image search over Elasticsearch or an embedded store."""

import os

# Before numpy is loaded: products here are small and requests are what runs side by side. On a busy machine
# BLAS's own threads wait for each other, and a search takes ten times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
