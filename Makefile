# Every target installs what it needs: system packages through the distribution, Python packages into ./.venv.
.PHONY: demo story test check fuzz bench decode lock clean
SHELL := /bin/bash
PY := .venv/bin/python

demo: .venv/.lab ## bring up the simulated plant, show the main job, stay up until Ctrl-C
	@scripts/system-packages demo
	@$(PY) -m penstock demo

story: .venv/.lab ## the same, without staying up; exits non-zero if any step is not as claimed
	@scripts/system-packages demo
	@$(PY) -m penstock demo --story

test: .venv/.dev check ## every test
	@scripts/system-packages test
	@scripts/test-providers
	@scripts/test-peers
	@scripts/test-suite
	@$(PY) fuzz/run.py --runs 2000

fuzz: .venv/.dev ## fuzz what reads each protocol, SECONDS (300) each; corpora stay in fuzz/corpus
	@$(PY) fuzz/run.py --seconds "$(or $(SECONDS),300)"

check: .venv/.dev ## formatting, lint, types
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy

bench: .venv/.lab ## the side-by-side benchmark: prints a table, writes bench/out/latest.json
	@scripts/system-packages bench
	@$(PY) bench/run.py
	@$(PY) bench/protocols.py --quick
	@$(PY) bench/decoders.py
	@$(PY) bench/inspect_protocols.py
	@$(PY) bench/scale.py
	@$(PY) bench/scale_kernel.py

decode: .venv/.lab ## what a capture file says, as JSON lines: make -s decode FILE=x.pcap
	@test -n "$(FILE)" || { echo "usage: make -s decode FILE=x.pcap" >&2; exit 2; }
	@$(PY) -m penstock decode --json "$(FILE)"

lock: ## compile the hash-pinned requirements anew (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --extra keys pyproject.toml -o requirements/client.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --extra gate pyproject.toml -o requirements/run.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --extra gate --extra lab pyproject.toml -o requirements/lab.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --extra gate --extra lab --extra dev pyproject.toml -o requirements/dev.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header requirements/build.in -o requirements/build.txt

.venv/.lab: requirements/lab.txt requirements/build.txt pyproject.toml
	@scripts/python-environment lab
	@touch $@

.venv/.dev: requirements/dev.txt requirements/build.txt pyproject.toml
	@scripts/python-environment dev
	@touch $@ .venv/.lab

clean:
	rm -rf .venv bench/out bench/build fuzz/corpus fuzz/found .mypy_cache .ruff_cache .pytest_cache .hypothesis
