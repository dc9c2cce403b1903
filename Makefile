# Crossdock. `make` alone lists what can be made.
GO       ?= go
CACHE    ?= $(or $(CROSSDOCK_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/crossdock)
LINT_VERSION := v2.15.0
LINT     := $(CACHE)/bin/golangci-lint-$(LINT_VERSION)
BIN      := bin/crossdock
export CGO_ENABLED ?= 0
# The race detector needs a C compiler; without one the tests run all the same.
RACE     := $(shell command -v cc >/dev/null 2>&1 && echo -race)
SERVICES := $(GO) run ./internal/testservices/servicesd

.DEFAULT_GOAL := help
.PHONY: help demo test test-short chaos bench load lint schemas services-up services-down build

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## the whole pipeline in two minutes, on this machine; KEEP=1 leaves it running and prints where
	$(BIN) demo $(if $(KEEP),--keep)

test: ## every test, real Kafka and a real ClickHouse engine included, those without services also under the race detector
	$(SERVICES) run -- $(GO) test -timeout 15m ./...
	$(if $(RACE),CGO_ENABLED=1 $(GO) test -short $(RACE) -timeout 10m ./...)
	CROSSDOCK_TEST_CHAOS_FOR=$(or $(FAULTS_FOR),90s) CROSSDOCK_TEST_CHAOS_RATE=500 $(GO) test -count=1 -timeout 15m -run TestNothingIsLostDoubledOrWrongUnderFaults -v ./cmd/crossdock/faults

test-short: ## the tests that need no service, in a minute
	$(GO) test -short ./...

SEEDS ?= 1
CHAOS_FOR ?= 10m
chaos: ## ten minutes of faults on a cluster of three brokers with a new seed, then kills and aborts (SEEDS=1 CHAOS_FOR=10m); all is recounted
	@for n in $$(seq $(SEEDS)); do seed=$$(od -An -N4 -tu4 /dev/urandom | tr -d ' '); echo "== $$n of $(SEEDS), seed $$seed"; \
	  CROSSDOCK_TEST_SEED=$$seed CROSSDOCK_TEST_CHAOS_FOR=$(CHAOS_FOR) CROSSDOCK_TEST_CHAOS_OUT=$(CURDIR)/chaos-results $(GO) test -count=1 -timeout 0 -run TestNothingIsLostDoubledOrWrongUnderFaults -v ./cmd/crossdock/faults || exit 1; \
	  CROSSDOCK_TEST_SEED=$$seed $(SERVICES) run -- $(GO) test -count=1 -run TestInventoryIsExact -v ./cmd/crossdock || exit 1; done

bench: build ## codecs, and draining 2,000,000 records through translate, enrich, inventory and the sink; writes bench/results
	$(GO) test -run '^$$' -bench . -benchtime 1s ./avro/event
	$(SERVICES) run -- sh -c '$(BIN) bench all --set kafka.brokers=$$CROSSDOCK_TEST_KAFKA --set clickhouse.addresses=$$CROSSDOCK_TEST_CLICKHOUSE_TCP $(BENCH_FLAGS)'

PROFILE ?= base
RATE ?= 6k
FOR ?= 1m
load: build ## a load test on real Kafka and ClickHouse (PROFILE=base RATE=6k FOR=1m); report in loadtest-results
	$(SERVICES) run -- sh -ec 'export CROSSDOCK_KAFKA_BROKERS=$$CROSSDOCK_TEST_KAFKA CROSSDOCK_CLICKHOUSE_ADDRESSES=$$CROSSDOCK_TEST_CLICKHOUSE_TCP; \
	  $(BIN) topology apply --yes >/dev/null; $(BIN) sink migrate >/dev/null 2>&1; \
	  $(BIN) loadtest run --profile $(PROFILE) --rate $(RATE) --for $(FOR) --start $(LOAD_FLAGS)'

lint: $(LINT) ## static checks
	$(GO) vet ./...
	$(LINT) run --allow-parallel-runners ./...

$(LINT):
	@mkdir -p $(dir $@)
	GOBIN=$(dir $@) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv $(dir $@)golangci-lint $@

schemas: ## regenerate the Go structs and codecs from avro/schemas
	$(GO) run ./avro/gen

services-up: ## start Kafka and the ClickHouse engine for tests and keep them running
	$(SERVICES) up

services-down: ## stop what services-up started
	$(SERVICES) down

build: ## build bin/crossdock
	$(GO) build -trimpath -buildvcs=auto -o $(BIN) ./cmd/crossdock
