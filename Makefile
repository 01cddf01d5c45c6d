# Every target is thin over go. `make` alone prints them.
SHELL   := /bin/bash
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
# Without gRPC's own request traces, which nobody reads here: they keep a template engine, and with it every method, in the binary.
TAGS    := grpcnotrace
CHORES  := $(GO) -C tools/chores run . -root ../..
RACE    := $(if $(shell command -v $${CC:-gcc} 2>/dev/null),-race)
# What has goroutines of its own, or is quick: the house and the simulator have none, and are an order of magnitude slower when watched.
UNITS    = $$($(GO) list ./... | grep -v -e /test/e2e -e /internal/house -e /internal/sim)

SEED ?= 0
TIME ?= 30s
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help build up test check vet fmt house race sim e2e fuzz bench lint golden gen deps deps-check clean

help: ## print the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the one static binary, bin/darter
	CGO_ENABLED=0 $(GO) build -tags $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o bin/darter ./cmd/darter

up: build ## build, then run manager, scheduler and daemon here (Ctrl-C ends; ARGS='--data-dir D')
	bin/darter up $(ARGS)

test: deps-check vet ## the whole suite: vet, house rules, all tests (race detector where gcc is), end-to-end in short form
	$(GO) test ./internal/house ./internal/sim
	$(GO) test $(RACE) -timeout 10m $(UNITS)
	$(GO) test -run TestLargeCluster ./internal/liveness
	$(GO) test -count=1 -short -timeout 10m ./test/e2e/...

check: fmt vet house ## quick: format, vet, house rules, unit tests without the race detector
	$(GO) test -short $(UNITS) ./internal/sim

fmt: ## fail when a file is not formatted
	@out=$$(gofmt -l $$(find . -name '*.go' -not -path './.git/*' -not -path './api/gen/*')); \
	if [ -n "$$out" ]; then echo "not formatted (gofmt -w mends it):"; echo "$$out"; exit 1; fi

vet: ## go vet
	$(GO) vet ./...

house: ## the architecture, held by tests
	$(GO) test -count=1 ./internal/house

race: ## all unit tests under the race detector, once more each
	$(GO) test -race -count=1 -timeout 15m $(UNITS)

sim: ## seeded worlds with loss, delay and crashes: SEED=0 (new ones, for TIME=30s) or one, told to the byte
	$(CHORES) sim -seed $(SEED) -time $(TIME)

e2e: ## end-to-end in full: processes, kill -9, a 1 GiB file
	$(GO) test -count=1 -timeout 20m -v ./test/e2e/...

fuzz: ## every fuzz target for TIME (default 30s) each
	$(CHORES) fuzz -time $(TIME)

bench: build deps-check ## the benchmark table (root for network namespaces; ARGS='-run B7 -quick')
	$(GO) run ./bench -bin bin/darter $(ARGS)

lint: ## golangci-lint, pinned in tools/lint (the first build takes two minutes)
	$(GO) tool -modfile=tools/lint/go.mod golangci-lint run ./...

golden: ## rewrite what tests compare with; read the difference before you commit
	$(CHORES) golden

gen: ## write api/gen again from api/proto; the generators are pinned in tools/gen
	$(GO) -C tools/gen run . -root ../..

deps: ## install the programs that tests and benchmarks start (apt; starts no service)
	.ci/deps

deps-check: ## say which of those programs are missing
	@$(CHORES) deps

clean: ## remove what builds left
	rm -rf bin dist bench/out
