# make demo and make test need Go and nothing else.

GO      ?= go
BIN     := bin
TOOLS   := $(GO) tool -modfile=tools/go.mod
LDFLAGS := -X github.com/prometheus/common/version.Version=$(shell cat VERSION) \
           -X github.com/prometheus/common/version.Revision=$(shell git rev-parse HEAD 2>/dev/null) \
           -X github.com/prometheus/common/version.Branch=$(shell git rev-parse --abbrev-ref HEAD 2>/dev/null)

.PHONY: build demo test race e2e unraced compiled tests check lint vulncheck bench bench-peer soak fuzz mutation golden dashboards gallery prometheus3 promu release test-vm reproducible arm clean help

build: ## The program, as bin/mother-of-dragons.
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/mother-of-dragons .

demo: build ## The whole program on simulated dragons.
	@$(BIN)/mother-of-dragons demo

# In tools with -count=1: Go's test cache does not see files outside of the module.
test: ## All tests. Parts that need Debian packages say so and are skipped.
	@for tool in prometheus promtool chromium; do command -v $$tool >/dev/null || \
		echo "$$tool is not installed: its tests are skipped (apt-get install prometheus chromium)"; done
	$(GO) test -timeout 20m ./...
	cd tools && $(GO) test -count=1 ./...
	cd examples/client && $(GO) test -count=1 ./...

# Packages without goroutines: the race detector finds nothing there, slowly. The
# end-to-end tests run a binary without it.
SERIAL := -e /alerts$$ -e /config$$ -e /docs$$ -e /e2e$$ -e /farmtest$$ -e /healer$$ -e /healer/explain$$ -e /packaging$$ -e /recording$$
# Packages whose longest tests "make race" leaves out.
LONG := -e /agent$$ -e /app$$ -e /discovery$$ -e /store$$ -e /web$$

RACED    = $$($(GO) list ./... | grep -v $(SERIAL))
UNRACED  = $$($(GO) list ./... | grep $(SERIAL) $(LONG) | grep -v /e2e$$)

race: ## The tests with the race detector, without the longest (needs gcc).
	CGO_ENABLED=1 $(GO) test -race -short $(VET) -timeout 20m $(RACED)

e2e: ## The program as a whole, with the real Prometheus, Alertmanager and etcd: mostly a wait, so beside the others.
	$(GO) test $(VET) -timeout 20m ./internal/e2e

# What "make race" and "make e2e" leave out. The short tests of the packages in LONG run in both.
unraced:
	$(GO) test $(VET) -timeout 20m $(UNRACED)
	cd tools && $(GO) test $(VET) -count=1 ./...
	cd examples/client && $(GO) test -count=1 ./...

compiled: # All that tests and release compile, but nothing linked. The race detector's comes last: lint waits for the others.
	$(GO) list -export -test -deps ./internal/e2e $(UNRACED) >/dev/null
	cd tools && $(GO) list -export -test -deps ./... github.com/prometheus/promu github.com/goreleaser/nfpm/v2/cmd/nfpm \
		github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen github.com/prometheus/statsd_exporter >/dev/null
	cd examples/client && $(GO) list -export -test -deps ./... >/dev/null
	CGO_ENABLED=1 $(GO) list -race -export -test -deps $(RACED) >/dev/null

# Without vet, which lint has run.
tests: ## Every test, those with goroutines under the race detector.
	$(MAKE) -j3 --output-sync=target VET=-vet=off e2e unraced race
	git diff --exit-code

check: build lint ## What must hold before a change lands.
	$(MAKE) tests

# Built, since "go tool" passes no flags of GOFLAGS to the compiler: CI would compile most of it twice.
LINTERS := github.com/golangci/golangci-lint/v2/cmd/golangci-lint github.com/rhysd/actionlint/cmd/actionlint

lint: ## gofmt, vet, the linters of .golangci.yml, and the workflows.
	$(GO) build -C tools -o ../$(BIN)/tools/ $(LINTERS)
	$(BIN)/tools/golangci-lint run
	$(BIN)/tools/actionlint
	cd tools && ../$(BIN)/tools/golangci-lint run -c ../.golangci.yml ./benchtable ./chart ./dashboards ./image ./mixin ./mutation ./sbom ./typecheck

vulncheck: ## Known vulnerabilities in what the program calls.
	./scripts/vulncheck

bench: ## Benchmarks, in a form that benchstat reads, then as tables; INTO=docs/performance.md keeps those.
	$(GO) test -run '^$$' -bench '$(or $(BENCH),.)' -timeout 0 ./... | \
		(cd tools && $(GO) run ./benchtable $(if $(INTO),-into ../$(INTO)))
	cd discovery && DISCOVERY_TEST_NETWORKS='198.18.4.0/22 198.18.16.0/20' DISCOVERY_TEST_NMAP=$$(command -v nmap) \
		$(GO) test -run BlackHoles -v -count 1 .

bench-peer: ## The Python tool (PEER_SRC is its PYTHONPATH) beside this program; INTO=docs/performance.md keeps the table.
	./scripts/bench-peer "$(PEER_SRC)" $(INTO)

soak: ## FARMS dense random farms (2,000) and random scripts for SOAK in front of the healer, a crash at every commit, and the program itself for SOAK, and with every trouble at once; 20,000 damaged states; 1,000 starts of four instances at once, 100 killed leaders; SCANS scans on a busy machine.
	$(GO) test ./internal/store -run 'Damage|CalmDay|OneLeads' -soak -timeout 0 -v
	$(GO) test ./healer/farmtest -soak -soak.farms $(or $(FARMS),2000) -soak.for $(or $(SOAK),10m) -v -timeout 0
	DISCOVERY_BUSY_SCANS=$(or $(SCANS),20) $(GO) test ./discovery -run ABusyHostFindsEveryDragon -v -timeout 0
	E2E_ENDURE=$(or $(SOAK),10m) E2E_KILLS=100 E2E_LEADER_KILLS=100 E2E_LOSSY=1 E2E_TROUBLES=30h $(GO) test ./internal/e2e \
		-run 'Endurance|KilledAtAnyMoment|LeaderKilled|EverySecondPacket|EveryTroubleAtOnce' -v -timeout 0

fuzz: ## Every fuzz target for FUZZ inputs each.
	./scripts/fuzz $(or $(FUZZ),20000x)

# At the lowest priority, since it runs tests for an hour and more.
mutation: ## Small faults in SAMPLE (40) lines of each of PACKAGES, by SEED (1), and which of them no test notices; SHORT=1 for the short tests alone.
	cd tools && nice -n 19 $(GO) run ./mutation -sample $(or $(SAMPLE),40) -seed $(or $(SEED),1) $(if $(SHORT),-short) $(if $(MATCH),-match '$(MATCH)') \
		$(or $(PACKAGES),dragon collector discovery internal/config internal/store internal/fleet internal/agent healer)

golden: ## Write the golden files and generated pages; read the diff.
	$(GO) test ./docs -run Reference -update
	$(GO) test ./collector/ ./internal/config/ -update
	cd tools && $(GO) test ./chart -update
	cd examples/client && $(GO) test . -update

dashboards: ## Write the Grafana boards and Grafana's own rules.
	cd tools && $(GO) run ./dashboards ../alerts ../dashboards

gallery: ## The Grafana boards as grafana.com wants them, in bin/grafana.com.
	mkdir -p $(BIN)/grafana.com
	cd tools && $(GO) run ./dashboards -grafana.com ../alerts ../$(BIN)/grafana.com

prometheus3: ## The rules, the boards and a farm with a Prometheus 3, which is built from its Go module (ten minutes the first time).
	./scripts/prometheus3

promu: ## A release build.
	$(TOOLS) promu build --prefix $(BIN)

release: ## The release for all architectures: tarballs, .deb, .rpm, image, chart, SBOMs, checksums, in bin/release.
	./scripts/release $(BIN)/release

test-vm: ## The .deb under a systemd, clock jumps and a lossy network, in a virtual machine (root, debootstrap, qemu-system-x86).
	./scripts/test-vm

reproducible: ## The release twice, which must be the same bytes (ARCH="amd64 arm64" for some).
	./scripts/reproducible $(ARCH)

arm: ## What a Raspberry Pi runs: vet for 32 bits, and tests there if qemu-user-static is installed.
	./scripts/arm

clean:
	rm -rf $(BIN)

help: ## This list.
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12
