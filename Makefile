# Needs Go; `race` also needs a C compiler.
GO         ?= go
FUZZTIME   ?= 30s
SEED       ?= 1
BENCHTIME  ?= 1s
BENCHFLAGS ?=
GOFLAGS_TEST ?=
PACKAGES   ?= ./...
RACE       ?= ./...
SEED       ?= 1
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null)
PREFIX     ?= /usr/local
DESTDIR    ?=
# Where runtimes look for plugins: most in this directory, Debian's in /usr/lib/cni.
CNIDIR     ?= /opt/cni/bin
ARCH       ?= $(shell $(GO) env GOARCH)
# The same source gives the same manual and package.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
# One word for the program, its manual and its package. A Debian version begins with a digit, and is higher than that of
# what it comes after.
WORD       := $(if $(VERSION),$(shell echo '$(VERSION)' | sed -E 's/-/+/g; s/^v([0-9])/\1/; /^[0-9]+[.~]/! s/^/0~$(SOURCE_DATE_EPOCH)+/'),0~devel)
LDFLAGS    := -s -w -X main.version=$(WORD)
DOC        := $(DESTDIR)$(PREFIX)/share/doc/vrouter

# What a router takes for the number of processors: with WORKERS=2 every one that is not
# told how many workers to have has two, as on a machine with four.
GOTEST     := $(GO) test $(if $(WORKERS),-exec 'env GOMAXPROCS=$(shell expr 2 '*' $(WORKERS))')

.DEFAULT_GOAL := help
.PHONY: build reproducible share install deb debtest test race lint vulncheck fuzz soak bench bench-scale microbench conformance difffuzz hostile page peer bgp cni ssh libpcap prometheus tshark tutorial docs clean help

build: ## build bin/vrouter, static; VERSION=… names it
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/vrouter ./cmd/vrouter

# Two copies of the source, so that no directory's name can be in what is built.
reproducible: ## build twice in different directories and compare; the program is static and has no cgo
	@set -e; d=$$(mktemp -d); trap 'rm -rf "$$d"' EXIT; \
	for i in one another; do \
		mkdir "$$d/$$i"; git ls-files -z --cached | xargs -0 cp --parents -t "$$d/$$i"; \
		(cd "$$d/$$i" && $(MAKE) --no-print-directory build VERSION='$(VERSION)'); \
	done; \
	sha256sum "$$d/one/bin/vrouter" "$$d/another/bin/vrouter"; \
	cmp "$$d/one/bin/vrouter" "$$d/another/bin/vrouter"; \
	$(GO) version -m "$$d/one/bin/vrouter" | grep -q 'CGO_ENABLED=0' || { echo "built with cgo" >&2; exit 1; }; \
	! LC_ALL=C readelf -lW "$$d/one/bin/vrouter" | grep INTERP || { echo "not static" >&2; exit 1; }

share: ## write the manual pages and shell completions to bin/share
	rm -rf bin/share
	GOOS= GOARCH= $(GO) test ./cmd/vrouter -run '^TestShare$$' -share $(CURDIR)/bin/share \
		-ldflags '-X github.com/vrouter/vrouter/cmd/vrouter.version=$(WORD)'

# The configuration is its owner's: one that is there stays.
install: build share ## install program, CNI plugin, service, manual, completions, documents and examples under DESTDIR, PREFIX (/usr/local)
	install -D -m 755 bin/vrouter $(DESTDIR)$(PREFIX)/bin/vrouter
	install -d $(DESTDIR)$(CNIDIR)
	ln -sf vrouter $(DESTDIR)$(PREFIX)/bin/vrouter-cni
	ln -sf $(PREFIX)/bin/vrouter-cni $(DESTDIR)$(CNIDIR)/vrouter
	install -d $(DOC)/docs $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)/etc/vrouter
	install -m 644 packaging/copyright $(DOC)
	install -m 644 docs/*.md $(DOC)/docs
	install -D -m 644 -t $(DOC)/docs/page docs/page/*
	find examples -type f ! -name '*.go' -exec install -D -m 644 {} $(DOC)/{} \;
	sed '1s/$$/ $(WORD)/' README.md > $(DOC)/README.md
	cp -R bin/share/. $(DESTDIR)$(PREFIX)/share/
	sed 's|@bindir@|$(PREFIX)/bin|' packaging/vrouter.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/vrouter.service
	test -e $(DESTDIR)/etc/vrouter/vrouter.yaml || install -m 644 packaging/vrouter.yaml $(DESTDIR)/etc/vrouter/vrouter.yaml

# The packager has a list of modules of its own, so that the router does not depend on them.
deb: ## build bin/vrouter_VERSION_ARCH.deb
	rm -rf bin/root bin/*.deb
	$(MAKE) install DESTDIR=bin/root PREFIX=/usr CNIDIR=/usr/lib/cni
	gzip -9n bin/root/usr/share/man/man1/*.1
	ARCH=$(ARCH) DEB_VERSION='$(WORD)' GOOS= GOARCH= $(GO) tool -modfile=packaging/tools.mod nfpm package -f packaging/nfpm.yaml -p deb -t bin

debtest: deb ## build the Debian package, install it below a scratch directory and try what is in it
	DEB=$$(echo $(CURDIR)/bin/*.deb) CGO_ENABLED=0 $(GO) test -tags deb -count=1 $(GOFLAGS_TEST) ./packaging

test: ## run all tests, or those of PACKAGES; GOFLAGS_TEST=-v shows each; SKIP=… leaves some out; WORKERS=2, here and with other targets, gives each router two
	CGO_ENABLED=0 $(GOTEST) -count=1 -timeout 20m $(if $(SKIP),-skip '$(SKIP)') $(GOFLAGS_TEST) $(PACKAGES)

# GOFLAGS, as the tests of the whole program build it themselves; a race ends it at once.
race: RUN ?= .
race: ## run all tests, and the programs that they start, with the race detector (needs a C compiler); RACE='./rib …' are some packages, RUN=… some tests
	GOFLAGS=-race GORACE='halt_on_error=1 atexit_sleep_ms=0' CGO_ENABLED=1 $(GOTEST) -count=1 -timeout 40m -run '$(RUN)' $(if $(SKIP),-skip '$(SKIP)') $(GOFLAGS_TEST) $(RACE)

lint: ## gofmt, go vet and staticcheck; each must be silent
	@files=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) && if [ -n "$$files" ]; then echo "not formatted, run gofmt -w on:" $$files >&2; exit 1; fi
	$(GO) vet ./...
	GOARCH=386 $(GO) vet ./...
	$(GO) vet -tags 'bgp cni libpcap page peer prometheus soak ssh tshark tutorial' ./internal/e2e ./internal/filter ./internal/peer
	$(GO) tool staticcheck ./...

vulncheck: ## look up known vulnerabilities of what is used; VULNDB=file:///PATH is a copy of the database
	$(GO) run golang.org/x/vuln/cmd/govulncheck@latest $(if $(VULNDB),-db $(VULNDB)) ./...

# `go test -list` prints the targets of a package, then a line "ok PACKAGE".
fuzz: ## run each fuzz target for FUZZTIME (30s)
	@list=$$($(GO) test -list '^Fuzz' ./...) && \
	echo "$$list" | awk '/^Fuzz/ { t[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, t[i]; n = 0 }' | \
	while read -r package target; do \
		echo "== $$package $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$package" || exit 1; \
	done

# In the package's directory, where go test shows its lines as they come.
soak: DURATION ?= 1h
soak: ## send mixed traffic at full rate between 100 workloads for DURATION (1h), and want all of it accounted for
	cd internal/e2e && CGO_ENABLED=0 $(GOTEST) -tags soak -run '^TestSoak$$' -count=1 -timeout 0 $(GOFLAGS_TEST) -soak=$(DURATION) -seed=$(SEED)

bench: ## measure throughput, latency and cost against the kernel and Open vSwitch; BENCHFLAGS='-rounds 1 -seconds 1' is quick
	$(GO) run ./internal/bench $(BENCHFLAGS)

bench-scale: ## measure how the cost grows with workloads, routes and flows
	$(GO) run ./internal/bench -scale $(BENCHFLAGS)

microbench: ## run the benchmarks of the routing table and the packet path, BENCHTIME (1s) each
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./rib ./forwarder ./internal/engine

# In the package's directory, as go test hides what a passing package prints elsewhere.
conformance: ## run the conformance tests, and print their table
	cd internal/conformance && $(GOTEST) -count=1 -timeout 10m -print

difffuzz: DURATION ?= 10m
difffuzz: ## compare random packets of each family with the kernel for DURATION (10m); SEED names the first
	cd internal/conformance && $(GOTEST) -count=1 -timeout 24h -run '^TestDifferential' -diff.duration $(DURATION) -diff.seed $(SEED)

hostile: LOOKS ?= .
hostile: ## flood the router from a workload and from the uplink, look at it with all one's might (LOOKS='plain, 1' is some of that), and print what is left of honest traffic
	cd internal/e2e && $(GOTEST) -count=1 -timeout 75m -run '^TestHostile' -hostile -looks '$(LOOKS)'

peer: ## test IP-in-IP against a real Linux kernel (needs Debian's packages user-mode-linux and gcc)
	CGO_ENABLED=0 $(GOTEST) -tags peer -count=1 -timeout 10m $(GOFLAGS_TEST) ./internal/peer

bgp: ## test with BIRD on each host (needs Debian's package bird2)
	CGO_ENABLED=0 $(GOTEST) -tags bgp -run '^TestBGP' -count=1 -timeout 10m $(GOFLAGS_TEST) ./internal/e2e

cni: ## test the CNI plugin, with two hosts of containers too (needs Debian's packages containerd, runc, busybox-static, containernetworking-plugins, nftables)
	CGO_ENABLED=0 $(GOTEST) -tags cni -run '^TestCNI' -count=1 -timeout 10m $(GOFLAGS_TEST) ./internal/e2e

ssh: ## test traces over ssh with a real sshd (needs Debian's package openssh-server)
	CGO_ENABLED=0 $(GOTEST) -tags ssh -run '^TestSSH' -count=1 -timeout 10m $(GOFLAGS_TEST) ./internal/e2e

libpcap: ## test that filters select what tcpdump selects (needs Debian's package tcpdump)
	CGO_ENABLED=0 $(GO) test -tags libpcap -run 'Libpcap$$' -count=1 -timeout 10m $(GOFLAGS_TEST) ./internal/filter

prometheus: ## try the alerts and the dashboard of examples with Prometheus and two routers (needs Debian's package prometheus)
	cd examples/prometheus && promtool check config prometheus.yml && promtool test rules alerts_test.yml
	CGO_ENABLED=0 $(GOTEST) -tags prometheus -run '^TestPrometheus' -count=1 -timeout 10m $(GOFLAGS_TEST) ./internal/e2e

tshark: ## test that tshark reads captures of a trace (needs Debian's package tshark)
	CGO_ENABLED=0 $(GOTEST) -tags tshark -run '^TestTshark' -count=1 -timeout 10m $(GOFLAGS_TEST) ./internal/e2e

# The browser's driver goes to bin/browser, in the version of internal/web/browser/package-lock.json.
page: ## test the page in a real browser (needs Debian's packages chromium, nodejs, npm; fetches playwright-core); UPDATE=1 takes the pictures of docs/page.md; DURATION=10m is how long at 100,000 packets a second
	mkdir -p bin/browser && cp internal/web/browser/package.json internal/web/browser/package-lock.json bin/browser
	npm ci --prefix bin/browser --ignore-scripts --no-audit --no-fund --silent
	CGO_ENABLED=0 NODE_PATH=$(CURDIR)/bin/browser/node_modules PICTURES=$(if $(UPDATE),$(CURDIR)/docs/page) \
		$(GOTEST) -tags page -run '^TestPage' -count=1 -timeout 30m $(GOFLAGS_TEST) ./internal/e2e $(if $(DURATION),-page.load=$(DURATION))

tutorial: ## run every command of docs/tutorial.md and docs/teaching.md (needs ip, ping and tcpdump); UPDATE=1 writes their output into them
	CGO_ENABLED=0 $(GOTEST) -tags tutorial -run '^Test(Tutorial|Teaching)$$' -count=1 -timeout 10m $(GOFLAGS_TEST) ./internal/e2e $(if $(UPDATE),-update)

docs: ## write the generated documentation again
	$(GO) test ./cmd/vrouter -run '^TestReference$$' -update

clean: ## remove what build made
	rm -rf bin

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
