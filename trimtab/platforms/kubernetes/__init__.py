"""The ports on Kubernetes: custom resources, KServe, the Gateway API, Jobs and KFP."""
