"""The platform on a laptop: SQLite, processes, Envoy and kfp.local behind the same ports as Kubernetes."""
