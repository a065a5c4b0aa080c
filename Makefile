# Works as root and as an ordinary user, on a machine that has Rust and nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(PATH):$(HOME)/.cargo/bin

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
SERVERS_ENV := $(TARGET_DIR)/servers.env
RUNBOOK ?= runbooks/rehearsal-postgres.yaml
# Read by every recipe that starts servers: PG15_BIN, PG18_BIN, PGBOUNCER_NEW, ... for the programs it runs.
with_servers := set -a; . $(SERVERS_ENV); set +a

.PHONY: help rehearse rehearse-mysql rehearse-mariadb rehearse-replica rehearse-aws test bench lint doc pictures ci servers toolchain

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{ printf "make %-16s %s\n", $$1, $$2 }'

rehearse: toolchain servers ## take RUNBOOK through a sandbox of real servers under load (ARGS="--keep" leaves it running)
	@cargo build --locked --profile rehearse --bin pointsman
	@$(with_servers); $(TARGET_DIR)/rehearse/pointsman rehearse $(RUNBOOK) $(ARGS)

# Both servers log, send and apply every row: two cores carry 500 transactions a second of that, and not 1,000.
gently = $(if $(findstring --rate,$(ARGS)),,--rate 500) $(ARGS)

rehearse-mysql: ## the same from MySQL to MySQL (500 writes a second; ARGS="--rate N")
	@$(MAKE) --no-print-directory rehearse RUNBOOK=runbooks/rehearsal-mysql.yaml ARGS="$(gently)"

rehearse-mariadb: ## the same from MariaDB to MariaDB
	@$(MAKE) --no-print-directory rehearse RUNBOOK=runbooks/rehearsal-mariadb.yaml ARGS="$(gently)"

rehearse-replica: ## the promotion of a physical replica of PostgreSQL
	@$(MAKE) --no-print-directory rehearse RUNBOOK=runbooks/rehearsal-replica.yaml

rehearse-replica-mysql: ## the same of MySQL
	@$(MAKE) --no-print-directory rehearse RUNBOOK=runbooks/rehearsal-replica-mysql.yaml ARGS="$(gently)"

rehearse-aws: ## PostgreSQL behind a load balancer of AWS, with a secret and a DNS record, on emulators
	@$(MAKE) --no-print-directory rehearse RUNBOOK=runbooks/rehearsal-aws.yaml

test: toolchain servers ## all tests, on real servers (ARGS goes to nextest, or to cargo test)
	@$(with_servers); tools/test.sh $(ARGS)

bench: toolchain servers ## measure cutovers against a hand-made minimum
	@$(with_servers); cargo bench --locked --profile rehearse --bench window -- $(ARGS)

lint: toolchain ## format, clippy with warnings as errors, shellcheck if it is here
	@cargo fmt --check
	@cargo clippy --locked --all-targets -- -D warnings
	@if command -v shellcheck > /dev/null; then shellcheck tools/*.sh .ci/run .ci/rustdoc; else echo "note: shellcheck is not installed: scripts are not checked"; fi

doc: toolchain ## the API documentation, with warnings as errors
	@RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

pictures: toolchain ## draw the pictures of the documents anew, from frames of the screen
	@POINTSMAN_PICTURES=write cargo test --locked --quiet --test it pictures

ci: ## what CI runs
	@.ci/run

servers: ## find the servers, or install them into a cache folder
	@mkdir -p $(TARGET_DIR)
	@tools/servers.sh > $(SERVERS_ENV).new
	@mv $(SERVERS_ENV).new $(SERVERS_ENV)

toolchain:
	@tools/toolchain.sh
