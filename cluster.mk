# A real Kubernetes cluster on this machine (Linux, root, Go): tests/cluster/README.md.
CLUSTER ?= python3 -m tests.cluster

.PHONY: cluster-up cluster-down
cluster-up: ## Start a real two-node Kubernetes cluster on this machine (CLUSTER_FLAGS=--kueue adds Kueue)
	@$(CLUSTER) packages
	@$(CLUSTER) up $(CLUSTER_FLAGS)

cluster-down: ## Stop and remove it, including leftovers of a crash
	@$(CLUSTER) down
