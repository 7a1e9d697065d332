# Mariner: from sources to a running system. `make image` and `make test` are the two to know.
#
# YES=1 (and CI) installs what is missing without asking; SUDO= names the command that becomes root.

SHELL        := /bin/bash
export HOME        ?= $(shell echo ~)
export GOTOOLCHAIN ?= auto
export GOFLAGS     ?= -buildvcs=false
# The Go that `make setup` fetched stands here, if this machine's was too old.
TOOLCHAIN    := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mariner-go/bin
export PATH  := $(TOOLCHAIN):$(PATH):/usr/local/go/bin
GO           := go
MARINER      := bin/mariner
IMAGES       ?= core-container core
IMAGE        ?= core

.PHONY: all setup setup-test build image run test test-full bench lint reproducible clean

all: image

# --- what a newcomer calls

image: build ## builds the packages and the default images
	@$(MARINER) image build $(IMAGES:%=images/%.yaml)
	@echo
	@echo "Built: out/repo (the signed repository), out/images (the images)."
	@echo "Next:  make test         checks all of it"

run: build ## boots an image (IMAGE=core)
	@$(MARINER) run $(IMAGE)

test: setup-test image ## unit, differential and end-to-end tests
	@tests/run

test-full: setup-test image ## the same, and what takes long: a second build from nothing
	@tests/run --full

bench: image ## measures against the tools that one would use instead
	@$(GO) run ./tests/bench

lint: setup ## vet, staticcheck, gofumpt
	@tests/lint

reproducible: image ## builds all once more, in another folder, at another time, and compares
	@tests/reproducible

# --- what these are made of

setup: ## installs what is missing on this machine
	@tools/setup

setup-test: setup
	@tools/setup --test

build: setup ## the toolkit
	@$(GO) build -o $(MARINER) ./cmd/mariner

clean: ## removes results; the store stays
	rm -rf bin out
