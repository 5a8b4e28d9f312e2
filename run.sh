#!/usr/bin/env bash
# ./run.sh [sweep] [flags] | report [flags] | prune [flags] | pretrain [flags] |
#          build_cbt [flags] | random_checkpoint [flags] | benchmark [flags] |
#          test [pytest arguments] | check
# Makes .venv once, installs the package there, and hands over.
set -euo pipefail
self=${BASH_SOURCE[0]}
[ ! -L "$self" ] || self=$(readlink -f "$self")
root=$(cd "$(dirname "$self")" && pwd)
venv=$root/.venv
state=$(cksum <"$root/pyproject.toml")

installed() { [ "$(cat "$venv/.installed-$1" 2>/dev/null)" = "$state" ]; }

fail() { echo "error: $*" >&2; exit 2; }

find_python() {
  local name
  for name in ${PYTHON:+"$PYTHON"} python3 python3.11 python3.12 python3.13 python; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  fail "Python 3.11 or newer is needed; install it, or name it: PYTHON=… ./run.sh"
}

# install STAMP PACKAGE: once for each state of pyproject.toml. Two runs at once wait
# for each other; the stamp is written last, so that a killed install starts again.
install() {
  installed "$1" && return
  if command -v flock >/dev/null; then
    exec 9>"$root/.install.lock"
    flock 9
  fi
  installed "$1" && return
  echo "Installing into .venv, once (some minutes) …" >&2
  if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python) || exit 2
    "$python" -m venv --clear "$venv" || fail "$python -m venv failed"
  fi
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check \
    --editable "$2" >&2 || fail "pip install failed; see above, then run it again"
  echo "$state" >"$venv/.installed-$1"
  exec 9>&-
}

jobs="sweep, report, prune, pretrain, build_cbt, random_checkpoint, benchmark, test, check"
job=sweep
case ${1-} in
  sweep | report | prune | random_checkpoint | pretrain) job=$1; shift ;;
  build_cbt) job=$1; shift; installed test || install books "$root[books]" ;;
  test | check)
    job=$1
    shift
    install test "$root[test]"
    cd "$root"
    if [ "$job" = test ]; then
      [ $# -gt 0 ] || set -- -n 2 --dist loadfile # all of them: on two cores
      exec "$venv/bin/python" -m pytest "$@"
    fi
    "$venv/bin/ruff" format --check .
    "$venv/bin/ruff" check .
    exec "$venv/bin/basedpyright"
    ;;
  benchmark) job=$1; shift; install test "$root[test]" ;;
  finetune)
    fail "$1 is not part of this version; there are $jobs" ;;
  -* | "") ;;
  *) fail "unknown job $1; there are $jobs" ;;
esac

installed test || installed books || install package "$root"
export PYTHONUTF8=1 PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
exec "$venv/bin/python" -m "experiments.$job" "$@"
