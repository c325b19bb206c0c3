# A real Kubernetes on this machine (Linux, root, Go): tests/cluster/README.md.
CLUSTER ?= python3 -m tests.cluster

.PHONY: cluster-up cluster-down
cluster-up: ## boot a real two-node Kubernetes on this machine (CLUSTER_FLAGS=--kueue adds Kueue)
	@$(CLUSTER) packages
	@$(CLUSTER) up $(CLUSTER_FLAGS)

cluster-down: ## remove it, also what a crash left
	@$(CLUSTER) down
