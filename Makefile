# Everything a developer or a machine does here. Each target first makes the private environment in .venv/, if it must.

PYTHON := .venv/bin/python
JOBS ?= 2

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test test-long check audit bench goldens lock man package pythons

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1  /p' $(MAKEFILE_LIST) | while read -r name text; do printf '  %-9s %s\n' "$$name" "$$text"; done

demo: venv ## watch the whole life of a file on this machine alone (make demo ARGS=--keep leaves it running)
	$(PYTHON) -m s3batch.demo $(ARGS)

test: check ## lint, types and the suite: what must pass before anything is handed in
	$(PYTHON) -m pytest -n $(JOBS) --dist worksteal -m "not slow" $(ARGS)

test-long: check ## all of the sweeps and long runs of which CI does a sample: hours
	$(PYTHON) -m pytest -n $(JOBS) --dist worksteal -m long $(ARGS)

check: venv ## lint and types only
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

audit: venv ## ask whether any locked package has a known vulnerability; says so where it cannot be asked
	$(PYTHON) -m tests.audit

bench: venv ## measure against GNU tar and tarfile, as ratios (make bench ARGS=--help: everything else)
	$(PYTHON) -m tests.bench $(ARGS)

goldens: venv ## write the golden files anew; look at the difference before committing it
	RENEW_GOLDENS=1 $(PYTHON) -m pytest -q -m golden

lock: venv ## renew Pipfile.lock from pyproject.toml, without any trace of where packages come from
	@[ -x .tools/bin/pipenv ] || { rm -f .venv/.made-from; deploy/bootstrap.sh; }
	PIPENV_VENV_IN_PROJECT=1 PIPENV_IGNORE_VIRTUALENVS=1 .tools/bin/pipenv lock
	$(PYTHON) deploy/lock.py

man: venv ## write the manual pages into build/man
	$(PYTHON) -m s3batch.manual --man build/man

pythons: venv ## install and try it on every Python from 3.11 to 3.14 that this machine has
	$(PYTHON) -m pytest -m long tests/package/test_pythons.py $(ARGS)

package: venv ## build what hosts install, into dist/: a bundle, and a Debian package where dpkg-deb is
	$(PYTHON) deploy/package.py $(ARGS)

venv: .venv/.made-from ## make .venv/ from Pipfile.lock

.venv/.made-from: Pipfile.lock pyproject.toml deploy/pipenv.txt deploy/bootstrap.sh
	@deploy/bootstrap.sh
