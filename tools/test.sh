#!/usr/bin/env bash
# test.sh [ARGS]: all tests, with cargo-nextest where it is installed, else with cargo test. `make test` calls it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if cargo nextest --version > /dev/null 2>&1; then
  # nextest runs no doc tests.
  cargo nextest run --locked "$@"
  exec cargo test --locked --doc --quiet
fi

echo "note: cargo-nextest is not installed, so the tests run with cargo test: slower, and a test that hangs is not ended." >&2
echo "      cargo install --locked cargo-nextest" >&2
# Tests on real servers share two cores: one process runs them one by one, as the nextest group `servers` would.
failed=0
cargo test --locked --no-fail-fast --lib --bins --test it "$@" || failed=1
if [ -e tests/e2e/main.rs ]; then
  RUST_TEST_THREADS=1 cargo test --locked --no-fail-fast --test e2e "$@" || failed=1
fi
cargo test --locked --doc --quiet || failed=1
exit $failed
