#!/usr/bin/env bash
# Every check there is, the quick ones first; the last lines are the test run's own summary.
#   tests/run.sh                    all of it
#   cargo nextest run NAME          one test
set -euo pipefail
cd "$(dirname "$0")/.."

export RUST_BACKTRACE="${RUST_BACKTRACE:-1}"
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"
export CARGO_INCREMENTAL="${CARGO_INCREMENTAL:-1}"

step() { printf '\n== %s\n' "$*"; }
skip() { printf '== skipped: %s\n' "$*"; }
has() { command -v "$1" >/dev/null 2>&1; }

# Installs the packages of those commands that are missing: "command=package ...".
packages() {
  local pair missing=()
  for pair in "$@"; do
    has "${pair%%=*}" || missing+=("${pair#*=}")
  done
  dpkg -s libssl-dev >/dev/null 2>&1 || missing+=(libssl-dev)
  ((${#missing[@]})) || return 0
  local root=()
  if ((EUID != 0)); then
    if has sudo && sudo -n true 2>/dev/null; then
      root=(sudo -n)
    else
      echo "missing, and only root can install them: apt-get install ${missing[*]}" >&2
      exit 1
    fi
  fi
  "${root[@]}" apt-get update -qq
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

step "tools"
if has apt-get; then
  packages redis-server=redis-server chromium=chromium chromedriver=chromium-driver pkg-config=pkg-config ld.lld=lld
fi
has cargo-nextest || cargo install cargo-nextest --locked --quiet

step "format"
cargo fmt --all --check

step "dashboard's logic"
if has node; then
  # Only what fails is shown, so that the summary at the end is the one of all other tests.
  for file in tests/it/*.test.mjs; do
    [[ -e "$file" ]] || continue
    node --test --test-reporter=dot "$file" >"${TMPDIR:-/tmp}/node-test.$$" 2>&1 || {
      cat "${TMPDIR:-/tmp}/node-test.$$"
      exit 1
    }
    echo "good: $file"
  done
  rm -f "${TMPDIR:-/tmp}/node-test.$$"
else
  skip "there is no node"
fi

step "lints"
cargo clippy --workspace --all-targets --locked -- -D warnings

step "dependencies"
if ! has cargo-deny; then
  skip "there is no cargo-deny (cargo install cargo-deny --locked)"
elif compgen -G "${CARGO_HOME:-$HOME/.cargo}/advisory-db*/*" >/dev/null; then
  cargo deny --offline check
else
  skip "advisories, as there is no copy of their database"
  cargo deny --offline check licenses bans sources
fi

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
cargo test --workspace --doc --locked --quiet >"${TMPDIR:-/tmp}/doc-test.$$" 2>&1 || {
  cat "${TMPDIR:-/tmp}/doc-test.$$"
  exit 1
}
rm -f "${TMPDIR:-/tmp}/doc-test.$$"

step "tests"
profile=default
[[ "${CI:-}" == true ]] && profile=ci
cargo nextest run --workspace --locked --profile "$profile"
