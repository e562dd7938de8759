# All tasks in this repository, for people and for CI. `make` alone lists them.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
# The time of the last commit, not of the build, so that builds stay reproducible. Empty: not known.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
DATE := $(if $(SOURCE_DATE_EPOCH),$(shell date -u -d @$(SOURCE_DATE_EPOCH) +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r $(SOURCE_DATE_EPOCH) +%Y-%m-%dT%H:%M:%SZ))
BINARY ?= rollcall
INFO := github.com/prometheus/common/version
LDFLAGS := -s -w -X $(INFO).Version=$(VERSION) -X $(INFO).Revision=$(REVISION) -X $(INFO).BuildDate=$(DATE)
# Without version control stamps, builds from an archive, a clone and an image are identical.
RELEASE := -trimpath -buildvcs=false -ldflags '$(LDFLAGS)'

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
FUZZTIME ?= 10s

.PHONY: help run build dist test unit lint format vet staticcheck modules vulnerabilities soak fuzz fuzz-short bench bench-smoke peers pictures clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: ## start rollcall on :9115 with its built-in modules (ARGS="--log.level=debug" adds flags)
	go run . $(ARGS)

build: ## one static binary: ./rollcall
	CGO_ENABLED=0 go build $(RELEASE) -o $(BINARY) .

dist: ## dist/: archives and Debian packages for every platform, checksums, SBOMs
	@VERSION='$(VERSION)' REVISION='$(REVISION)' sh deploy/package/dist

test: peers lint fuzz-short bench-smoke unit ## everything that CI runs: linters, short fuzzing, a short benchmark, all tests with the race detector
	@if [ -f .cache/notice ]; then cat .cache/notice; fi

# Four tests in parallel even on two cores: many tests wait for other programs.
unit: ## every test with the race detector, in random order
	SOAK=$(or $(SOAK),1m) go test -race -shuffle=on -parallel 4 -timeout 45m ./...
	go test -C deploy ./...

lint: format vet staticcheck modules vulnerabilities ## formatting, go vet, staticcheck, go.mod, known vulnerabilities

format:
	@files=$$(gofmt -l .); [ -z "$$files" ] || { echo "not formatted (run gofmt -w): $$files"; exit 1; }

# Other platforms find what this one cannot: 32-bit sizes and other systems' build constraints.
vet:
	go vet ./...
	GOOS=linux GOARCH=arm go vet ./...
	GOOS=darwin GOARCH=arm64 go vet ./...
	GOOS=windows go vet ./...
	go vet -C deploy ./...

staticcheck:
	go run $(STATICCHECK) ./...
	cd deploy && go run $(STATICCHECK) ./...

modules:
	go mod tidy -diff
	go mod tidy -C deploy -diff
	go mod verify

vulnerabilities:
	@sh .ci/vulnerabilities $(GOVULNCHECK)

soak: ## probe good and hostile peers at full rate for ten minutes (SOAK=1h: longer), then check for leaks
	SOAK=$(or $(SOAK),10m) go test -count=1 -timeout 0 -run '^TestSoak$$' -v ./e2e

fuzz: ## run every fuzz target for FUZZTIME (10s; 300x: that many inputs)
	@sh .ci/fuzz $(FUZZTIME)

fuzz-short: ## run every fuzz target with 300 inputs, like CI
	@sh .ci/fuzz 300x

bench: ## measure the cost of a probe beside blackbox_exporter and a minimal prober: about 12 minutes (ARGS="-only compare")
	go run ./bench $(ARGS)

bench-smoke: ## one short round of the benchmark, to check every reply
	go run ./bench -smoke -json ''

peers: ## install (as root, with apt-get) or name the programs that the tests need
	@sh .ci/peers

pictures: ## make docs/images: screenshots of the pages and the dashboard's layout (PAGES="page=/ NAME=/PATH")
	go run ./e2e/pictures $(PAGES)

clean: ## remove what the other targets made, except docs/images
	rm -rf rollcall dist .cache bench/results
	go clean -testcache
