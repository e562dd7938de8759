# Everything that is done to this repository by hand or by CI. Plain `make` lists it.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
BINARY ?= rollcall
INFO := github.com/prometheus/common/version
LDFLAGS := -s -w -X $(INFO).Version=$(VERSION) -X $(INFO).Revision=$(REVISION)
# Without what version control knows, an archive, a clone and an image are built to the same bytes.
RELEASE := -trimpath -buildvcs=false -ldflags '$(LDFLAGS)'

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
FUZZTIME ?= 10s

.PHONY: help run build dist test unit lint format vet staticcheck modules vulnerabilities soak fuzz fuzz-short bench bench-smoke peers clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: ## start rollcall on :9115 with its built-in modules (ARGS="--log.level=debug" adds flags)
	go run . $(ARGS)

build: ## one static binary: ./rollcall
	CGO_ENABLED=0 go build $(RELEASE) -o $(BINARY) .

dist: ## dist/: archives and Debian packages for every platform, with checksums and what they are made of
	@VERSION='$(VERSION)' REVISION='$(REVISION)' sh deploy/package/dist

test: peers lint fuzz-short bench-smoke unit ## everything CI asks for: the linters, a short benchmark, then every test with the race detector

# Four at a time also on two cores: many tests wait for another program's clock.
unit: ## every test with the race detector, in random order
	SOAK=$(or $(SOAK),1m) go test -race -shuffle=on -parallel 4 -timeout 20m ./...
	go test -C deploy ./...

lint: format vet staticcheck modules vulnerabilities ## formatting, go vet, staticcheck, go.mod, known vulnerabilities

format:
	@files=$$(gofmt -l .); [ -z "$$files" ] || { echo "not formatted (run gofmt -w): $$files"; exit 1; }

# Of the platforms that dist builds for: what this one cannot tell, which is 32 bits and another system.
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

soak: ## good and hostile peers at full rate for ten minutes (SOAK=1h: longer), then what is left of them
	SOAK=$(or $(SOAK),10m) go test -count=1 -timeout 0 -run '^TestSoak$$' -v ./e2e

fuzz: ## every fuzz target for FUZZTIME (10s) each
	@sh .ci/fuzz $(FUZZTIME)

fuzz-short: ## the same for two seconds each, as CI does
	@sh .ci/fuzz 2s

bench: ## what a probe costs beside blackbox_exporter and the bare floor: about 12 minutes (ARGS="-only compare")
	go run ./bench $(ARGS)

bench-smoke: ## one short round of the same, to see that every reply is right
	go run ./bench -smoke -json ''

peers: ## install (as root, by apt-get) or name the programs that the tests run rollcall against
	@sh .ci/peers

clean: ## remove what the other targets made
	rm -rf rollcall dist .cache bench/results
	go clean -testcache
