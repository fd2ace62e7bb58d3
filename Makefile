# Everything a person types: `make run` to use Carrel, `make test`, `make lint` and `make bench` to work on it.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PORT ?= 8000
STATE ?= .carrel
export PORT STATE

.PHONY: help run kernel prepare images test nodes test-cluster test-postgres corpus-evcxr lint bench bench-cluster clean-state

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build what is missing and run the hub (PORT=8000 STATE=.carrel)
	@deploy/local/run

kernel: ## Build the kernel and install it in your own Jupyter, without a Hub (ARGUMENTS="--sys-prefix --name carrel")
	@deploy/local/run kernel $(or $(ARGUMENTS),--user)

prepare: ## All of `make run` but the hub itself
	@deploy/local/run prepare

images: ## Container images as archives in test-output/images (ARGUMENTS="--debootstrap --binaries FOLDER")
	@images/build $(ARGUMENTS)

test: ## Every test that needs no cluster, the browser test included
	@deploy/local/test

nodes: ## The table of what inference engines compute (inference/nodes.txt); UPDATE=1 writes it anew
	@deploy/local/test --features carrel-inference/rten -E 'package(carrel-inference) & test(nodes)'

test-cluster: ## Tests on a Kubernetes cluster: KUBECONFIG=..., or CARREL_TESTNODE=FOLDER; KEEP_CLUSTER=1 leaves it standing
	@deploy/local/test-cluster

test-postgres: ## The Hub's tests on PostgreSQL: CARREL_TEST_POSTGRES=postgresql://..., or a server of their own
	@deploy/local/test-postgres

corpus-evcxr: ## The kernel's reference corpus on evcxr (builds rust-analyzer once)
	@deploy/local/corpus-evcxr

lint: ## Format, clippy, dependencies, scripts, documentation
	@deploy/local/lint

bench: ## Speed and memory beside the peers (PARTS="kernel hub proxy serving training"), or beside another commit (BEFORE=COMMIT)
	@deploy/local/bench $(PARTS)

bench-cluster: ## Speed and memory on a Kubernetes cluster, as for test-cluster (PARTS="servers jobs")
	@deploy/local/bench-cluster $(PARTS)

clean-state: ## Remove users' files, database, logs and the Python environment in STATE
	@deploy/local/run clean
