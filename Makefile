# The commands of this project. `make demo` and `make test` work from a bare clone on Debian or Ubuntu with cargo:
# what they miss of system packages they install (with sudo, if you are not root), and say so.

.DEFAULT_GOAL := demo
.PHONY: demo test test-simulation test-live soak test-tables test-web fixtures bench bench-memory instructions fuzz miri lint deps cargo

# What a build needs, and what the tests need besides.
BUILD_PACKAGES := gcc libc6-dev libpcap-dev
# tshark is the tests' independent reader.
TEST_PACKAGES  := tshark
# What the live tests need: namespaces, witnesses, a sender, a Prometheus, real endpoints. tshark brings editcap. Packages of
# Python are in tests/lab/.venv.
LIVE_PACKAGES  := tshark tcpdump faketime tcpreplay iproute2 python3 libcap2-bin util-linux prometheus \
                  nftables ethtool procps nodejs npm python3-venv
# What the recorder of the fixtures needs: capture, namespaces, proxies, browser, runtimes of its endpoints.
LAB_PACKAGES   := tcpdump wireshark-common iproute2 nftables conntrack ethtool procps nginx haproxy nghttp2-proxy chromium nodejs npm python3-venv

# libFuzzer is C++.
FUZZ_PACKAGES  := g++

# The scenarios that the demo shows: of each, one recorded capture, by preference the server's.
DEMO_SCENARIOS := close-crossed close-empty-by-client close-unanswered-by-server close-then-reset fin-by-server \
                  reset-by-server sigkill-server network-drop-ping handshake-refused still-open
captures_of     = $(sort $(wildcard fixtures/captures/$(1)/*.server.pcap*)) $(sort $(wildcard fixtures/captures/$(1)/*.pcap*))
DEMO_CAPTURES  := $(foreach scenario,$(DEMO_SCENARIOS),$(firstword $(call captures_of,$(scenario))))

SUDO   := $(if $(filter-out 0,$(shell id -u)),sudo)
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)

## Build wsclose and let it read a few of the recorded captures.
demo: cargo
	@.ci/need $(BUILD_PACKAGES)
	@test -n "$(strip $(DEMO_CAPTURES))" || { echo "fixtures/captures holds none of: $(DEMO_SCENARIOS)" >&2; exit 1; }
	cargo build --locked --release
	@# One by one: they share addresses and ports, and as one capture they would be one host's reused ports.
	@for capture in $(DEMO_CAPTURES); do echo; $(TARGET)/release/wsclose analyze "$$capture" || exit; done
	@echo
	@echo "next: $(TARGET)/release/wsclose analyze YOUR.pcap; wsclose explain 1006; one connection packet by packet:"
	@echo "      $(TARGET)/release/wsclose show $(lastword $(DEMO_CAPTURES)) --stream 0"

## Run every test. Needs no root.
test: deps
	cargo test --locked

## Simulate connections whose truth is known, through captures with flaws: no claim may be false. CAPTURES of 300 connections each,
## from number FIRST on; KEEP=FOLDER keeps the capture of each false one.
FIRST ?= 0
CAPTURES ?= 40
test-simulation: deps
	@.ci/need python3
	@# With the benchmarks, whose dependencies change features of ours: one build then serves both.
	cargo build --locked --release --bins --benches
	python3 tests/simulation/run.py $(TARGET)/release/wsclose --first $(FIRST) --captures $(CAPTURES) $(if $(KEEP),--keep $(KEEP))

## Run the live tests: network namespaces, real interfaces. Needs root. STAGES="replay rate" for some of them; FULL=1 for
## floods of a million and every scenario of the lab (which takes what `make fixtures` takes).
test-live: deps
	@.ci/need $(LIVE_PACKAGES)
	tests/lab/setup.sh $(if $(FULL),,--libraries)
	@# As above.
	cargo build --locked --release --bins --benches
	$(SUDO) env CARGO_TARGET_DIR="$(abspath $(TARGET))" tests/lab/.venv/bin/python tests/live/run.py $(STAGES)

## One hour of short connections: memory stays flat, every end is accounted for. Needs root.
SOAK_S ?= 3600
soak:
	$(MAKE) --no-print-directory test-live STAGES="soak --seconds $(SOAK_S)"

## Run what docs/tables.md shows with jq, DuckDB and pandas, which it installs, and the tests of `--format parquet`.
test-tables: deps
	@.ci/need jq python3-venv
	@test -x $(TARGET)/notebook-venv/bin/python3 || python3 -m venv $(TARGET)/notebook-venv
	$(TARGET)/notebook-venv/bin/python3 -m pip install --quiet --disable-pip-version-check duckdb==2.0.0 pandas==3.1.1 pyarrow==26.0.1
	WSCLOSE_REQUIRE_TOOLS=1 cargo test --locked --features parquet --test it tables::

## Open the HTML report in Chromium. Screenshots stay in the target folder, in web/.
test-web: deps
	@.ci/need chromium nodejs npm
	cd tests/web && npm ci --silent --no-audit --no-fund
	@# With the tests, for the same reason.
	cargo build --locked --bins --tests
	node tests/web/run.mjs $(TARGET)/debug/wsclose $(TARGET)/web

## Record the fixtures anew from real endpoints. Needs root, for network namespaces.
fixtures: deps
	@.ci/need $(LAB_PACKAGES)
	tests/lab/setup.sh
	$(SUDO) python3 tests/lab/record.py
	$(SUDO) python3 tests/lab/record.py --tls

## Measure packets per second, GB per second and peak memory beside tcpdump and tshark, and what decrypting costs; write
## docs/performance.md.
bench: deps
	@.ci/need tcpdump
	cargo bench --locked --bench throughput -- --write docs/performance.md
	cargo bench --locked --bench decryption

## Pipe GB gigabytes, made on the way, through wsclose, which may take 50 MB of memory and has to find every end.
GB ?= 10
bench-memory: deps
	cargo bench --locked --bench throughput -- --memory-test $(GB)

## Count instructions and compare them with the committed figures; UPDATE=--update writes them down instead. The reports on
## the same captures have to be right, and ten times as many connections may take 10 % more a packet at the most.
instructions: deps
	@.ci/need valgrind
	cargo bench --locked --bench throughput -- --instructions $(UPDATE)

## Run each fuzz target for TIME seconds; TARGETS="frames decode" for some of them.
TIME ?= 60
fuzz: cargo
	@.ci/need $(BUILD_PACKAGES) $(FUZZ_PACKAGES)
	.ci/fuzz $(TIME) $(TARGETS)

## Run the unit tests of the pure layers in Miri, which wants a nightly compiler with that component;
## MIRI_LAYERS="seq:: pack::" for some of them, with MIRI_CASES arbitrary inputs each.
MIRI_CASES ?= 4
MIRI_LAYERS ?= decode:: tcp:: seq:: pack:: websocket:: http:: flow:: verdict:: limits::
miri: cargo
	PROPTEST_CASES=$(MIRI_CASES) MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test --locked --no-default-features --lib -- $(MIRI_LAYERS)

## Check format and lints.
lint: deps
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --no-default-features -- -D warnings

## Install what building and testing need.
deps: cargo
	@.ci/need $(BUILD_PACKAGES) $(TEST_PACKAGES)

cargo:
	@command -v cargo >/dev/null || { \
	  echo "cargo is missing. Install Rust with:" >&2; \
	  echo "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2; \
	  exit 1; }
