# The one door to this repository, for people and for .ci/run alike. `make help` lists what is here.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# What is built and fetched: target/ (cargo), .cache/ (everything else), node/node_modules and
# tests/oidc_provider/node_modules (npm). All ignored by git.
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
DEBUG := $(TARGET)/debug
CACHE := $(CURDIR)/.cache
VENV := $(CACHE)/venv
PYTHON := $(VENV)/bin/python
PYTHON3 ?= python3
export SVCTOKEN_SANDBOX := $(DEBUG)/svctoken-sandbox

CFLAGS := -Wall -Wextra -Wpedantic -Werror -O1 -g
LINK := -L$(DEBUG) -lsvctoken -Wl,-rpath,$(DEBUG)

KEYS := $(CACHE)/keys
DRIVERS := --driver rust=$(DEBUG)/svctoken-driver \
           --driver c=$(DEBUG)/driver-c \
           --driver cpp=$(DEBUG)/driver-cpp \
           --driver python="$(PYTHON) tests/drivers/python/driver.py" \
           --driver node="node tests/drivers/node/driver.js"

# What the runner is told beside the languages.
RUNS := $(DRIVERS) --variable keys=$(KEYS)

.PHONY: help check-tools build demo test test-rust test-scenarios test-streams test-leaks test-python test-node test-keycloak test-oidc-provider test-network test-processes bench lint sizes clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 20

check-tools: ## name what this machine lacks
	@missing=0; \
	need() { command -v "$$1" >/dev/null || { echo "missing: $$1 ($$2)"; missing=1; }; }; \
	need cargo "Rust 1.95 or newer"; need cc "a C compiler"; need c++ "a C++17 compiler"; \
	need $(PYTHON3) "Python 3.10 or newer, with venv"; need node "Node.js 20 or newer"; need npm "comes with Node.js"; need openssl "makes the keys of the tests"; \
	$(PYTHON3) -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' || { echo "missing: Python 3.10 with venv"; missing=1; }; \
	node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)' || { echo "missing: Node.js 20"; missing=1; }; \
	for optional in valgrind java mvn redis-server nginx tinyproxy microsocks; do \
	  command -v $$optional >/dev/null || echo "optional, and missing: $$optional (some tests will say that they were skipped)"; \
	done; \
	exit $$missing

build: check-tools $(KEYS)/.made $(DEBUG)/driver-c $(DEBUG)/driver-cpp python-package node-package ## everything, for tests

.PHONY: cargo-build python-package node-package
cargo-build:
	cargo build --locked
	ln -sf libsvctoken.so $(DEBUG)/libsvctoken.so.0.1

$(DEBUG)/driver-c: cargo-build $(wildcard tests/drivers/c/*) include/svctoken.h
	cc -std=c11 $(CFLAGS) -Iinclude -o $@ tests/drivers/c/driver.c -pthread $(LINK)

$(DEBUG)/driver-cpp: cargo-build $(wildcard tests/drivers/cpp/*) include/svctoken.h include/svctoken.hpp
	c++ -std=c++17 $(CFLAGS) -Iinclude -o $@ tests/drivers/cpp/driver.cpp -pthread $(LINK)

$(KEYS)/.made: tests/keys/make
	rm -rf $(KEYS)
	tests/keys/make $(KEYS)
	touch $@

$(VENV)/.made: py/requirements-dev.txt
	$(PYTHON3) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --requirement py/requirements-dev.txt
	touch $@

python-package: $(VENV)/.made cargo-build
	VIRTUAL_ENV=$(VENV) $(VENV)/bin/maturin develop --quiet --locked --manifest-path py/Cargo.toml

node/node_modules/.made: node/package-lock.json
	cd node && npm ci --no-audit --no-fund --loglevel=error
	touch $@

node-package: node/node_modules/.made cargo-build
	cd node && npm run --silent build

demo: build ## the README's five programs against a sandbox with Atlas's limits
	rm -rf $(CACHE)/demo && mkdir -p $(CACHE)/demo
	$(DEBUG)/svctoken-demo $(PYTHON) node $(CACHE)/demo

test: ## every test there is
	tests/all

test-rust: cargo-build ## the unit tests, and the C and C++ programs under ASan and valgrind
	cargo test --locked --no-fail-fast

test-scenarios: build ## every scenario in all five languages, and once more with tokens in memory only
	$(DEBUG)/svctoken-runner $(RUNS)
	$(DEBUG)/svctoken-runner $(RUNS) --language rust --cache memory

STREAM_BYTES ?= 268435456
# Of so many bytes, byte i being i mod 251.
STREAM_SHA256 = $$($(PYTHON3) -c 'import hashlib; h = hashlib.sha256(); n = $(STREAM_BYTES); p = bytes(range(251)) * 4096; \
	[h.update(p[:n - i]) for i in range(0, n, len(p))]; print(h.hexdigest())')

test-streams: build ## bodies of STREAM_BYTES read and sent as streams in all five languages, with memory that stays flat
	$(DEBUG)/svctoken-runner $(DRIVERS) --scenarios tests/streams --variable bytes=$(STREAM_BYTES) --variable sha256=$(STREAM_SHA256) --jobs 1

test-leaks: build ## the scenarios with everything logged and printed that can be, searched for secrets in every form
	$(DEBUG)/svctoken-runner $(RUNS) --loud --jobs 16

test-python: build ## what is Python's own: types, signals, fork
	cd py && $(PYTHON) -m pytest -q tests

test-node: build ## what is Node's own: abort, workers, package
	cd node && npm test --silent

test-keycloak: build ## all five languages against a real Keycloak (wants Java and Maven)
	tests/keycloak/run $(KEYS) $(RUNS)

test-oidc-provider: build ## all five languages against a real oidc-provider (from npm)
	tests/oidc_provider/run $(KEYS) $(RUNS)

test-network: build ## all five languages against a real nginx, through a real tinyproxy and microsocks
	tests/network/run $(KEYS) $(RUNS)

PROCESSES ?= 60
REPETITIONS ?= 2
PROGRAMS ?= 200

test-processes: build ## processes of all five languages that share one token: PROCESSES at once, REPETITIONS times, and PROGRAMS in turn
	$(DEBUG)/svctoken-herd $(DEBUG) $(subst --driver ,,$(DRIVERS)) $(PROCESSES) $(REPETITIONS) $(PROGRAMS)

lint: $(VENV)/.made ## formatting, clippy, types
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --package svctoken --no-default-features --locked -- -D warnings

bench: check-tools $(VENV)/.made ## how fast it is beside what users would take instead, as ratios within one run
	tests/bench/run $(ONLY)

sizes: $(VENV)/.made ## what is shipped, in bytes and crates, against its limits
	tests/sizes

clean: ## everything built and fetched
	rm -rf $(TARGET) $(CACHE) node/node_modules tests/oidc_provider/node_modules
