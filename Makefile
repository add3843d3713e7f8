# Hongyan's commands; `make help` lists them.

PYTHON ?= python3

export PYTHONPATH := .:layers/core
# `sam build --cached` compares whole folders: bytecode left in them by a test run would have everything built again.
export PYTHONDONTWRITEBYTECODE := 1

# What `make build` builds for: AWS Lambda's python3.13 on arm64 (template.yaml's defaults). It runs on Amazon Linux 2023,
# glibc 2.34, so wheels of all these generations work there.
AWS_LAYER_PIP_FLAGS := --python-version 3.13 --only-binary=:all: --platform manylinux_2_28_aarch64 \
	--platform manylinux_2_26_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64

OPENSEARCH_TESTS := $(wildcard tests/integration/*/test_search*.py)

.DEFAULT_GOAL := help
.PHONY: help run up down test rehearse test-opensearch check bench cost openapi build clean bootstrap

help: ## List the commands
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

run: bootstrap ## Start the local stack; Ctrl-C stops it
	@.venv/bin/python -m local run

up: bootstrap ## Start the local stack in the background
	@.venv/bin/python -m local up

down: ## Stop the local stack
	@.venv/bin/python -m local down

test: bootstrap ## Run every test
	.venv/bin/pytest

rehearse: bootstrap ## Rehearse a release, one whose migration fails, and a rollback, on a stack of its own
	.venv/bin/pytest -m rehearsal tests/rehearsal

test-opensearch: bootstrap ## Run the tests of searching on a real OpenSearch (a JDK 17 and Maven, or OPENSEARCH_URL)
	.venv/bin/python -m local.opensearch .venv/bin/pytest $(OPENSEARCH_TESTS)
	.venv/bin/python -m local.opensearch --as writer .venv/bin/pytest tests/integration/test_search_access.py -k index
	.venv/bin/python -m local.opensearch --as reader .venv/bin/pytest tests/integration/test_search_access.py -k searching

check: bootstrap ## Lint, types, import contracts, template and API drift, then every test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy --strict $(wildcard functions layers/audio layers/core/hongyan migrations local clients/python/hongyan_client clients/python/smoke bench cost tests)
	.venv/bin/lint-imports
	.venv/bin/cfn-lint template.yaml stores.yaml
	SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 .local/venv/sam/bin/sam validate --lint
	.venv/bin/python -m tests.contract.checkov
	.venv/bin/python -m tests.contract.openapi --check
	.venv/bin/pytest

bench: bootstrap ## Measure the local stack
	.venv/bin/python -m bench

cost: bootstrap ## Price a month: USERS=10000 MESSAGES=40 GROUP=2 ONLINE=0.5 HOURS=3 SIZE=small (docs/cost.md)
	@.venv/bin/python -m cost $(if $(USERS),--users $(USERS)) $(if $(MESSAGES),--messages $(MESSAGES)) \
		$(if $(GROUP),--group $(GROUP)) $(if $(ONLINE),--online $(ONLINE)) $(if $(HOURS),--hours $(HOURS)) \
		$(if $(SIZE),--size $(SIZE))

openapi: bootstrap ## Write docs/openapi.json anew from the code
	.venv/bin/python -m tests.contract.openapi

build: bootstrap ## Build the functions and layers for AWS, and check how large they are
	PATH="$(CURDIR)/.venv/bin:$$PATH" SAM_CLI_TELEMETRY=0 LAYER_PIP_FLAGS="$(AWS_LAYER_PIP_FLAGS)" \
		.local/venv/sam/bin/sam build --parallel
	.venv/bin/python -m local.packages .aws-sam/build

clean: ## Remove the local stack's data, logs and builds
	@! .venv/bin/python -m local status >/dev/null 2>&1 || .venv/bin/python -m local down
	rm -rf .aws-sam .local/data .local/log .local/tmp .local/sam .local/e2e .local/integration .local/rehearsal .local/opensearch
	rm -f .local/*.json .local/mariadb.sql .local/redis.conf

bootstrap:
	@$(PYTHON) local/bootstrap.py
