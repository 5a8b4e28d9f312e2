#!/usr/bin/env bash
# ./run.sh [sweep] [flags] | report [flags] | prune [flags] | finetune [flags] |
#          pretrain [flags] | build_cbt [flags] | random_checkpoint [flags] |
#          benchmark [flags] |
#          test [pytest arguments] | check | help [job]
# Makes .venv once, installs the package there, and hands over.
set -euo pipefail
# -p: no functions of the user's (a `cd` that prints), no CDPATH, no SHELLOPTS.
[[ $- == *p* ]] || exec "$BASH" -p "${BASH_SOURCE[0]}" "$@"

clear_line() { [ ! -t 2 ] || printf '\r\033[K' >&2; }

# Jobs in the background have process groups of their own, to be ended with all children.
end_jobs() {
  local pid
  for pid in $(jobs -p); do kill "-$1" -- "-$pid" 2>/dev/null || true; done
}

# A signal ends what goes on, and then this. SIGINT lets Python and pip take away their
# temporary files; a second signal does not wait for it.
leave() {
  trap 'end_jobs KILL; exit '"$1" HUP INT TERM
  end_jobs INT
  [ -z "${log-}" ] || rm -f "$log" # without which `tick` ends
  wait 2>/dev/null || true
  clear_line
  [ "$1" != 130 ] || echo "interrupted" >&2
  exit "$1"
}
trap 'leave 129' HUP
trap 'leave 130' INT
trap 'leave 143' TERM

self=${BASH_SOURCE[0]}
[ ! -L "$self" ] || self=$(readlink -f "$self")
root=$(cd "$(dirname "$self")" && pwd)
venv=$root/.venv
log=$root/.install.$$.log
state=$(cksum <"$root/pyproject.toml")

jobs="sweep, report, prune, finetune, pretrain, build_cbt, random_checkpoint, benchmark, test, check"
explain() {
  cat <<'END'
How much of a language model can be cut away before it stops understanding a story?

  ./run.sh                              three small models, bundled; about 90 seconds
  ./run.sh --model=gpt2-small --data=cbt --skip_malformed      a published one

Jobs; ./run.sh help JOB has the flags of one.
  sweep              draws accuracy against sparsity; what ./run.sh does without a job
  report             merges runs over the same questions into one report
  prune              writes one pruned model for transformers to load
  finetune           trains pruned models back, and draws the curve again
  pretrain           trains a small model from scratch on plain-text books
  build_cbt          makes questions from plain-text books
  random_checkpoint  writes random weights in a published shape
  benchmark          measures questions a second beside torch
  test               runs the tests; takes pytest's arguments
  check              checks style and types
END
}

installed() { [ "$(cat "$venv/.installed-$1" 2>/dev/null)" = "$state" ]; }

fail() { echo "error: $*" >&2 || :; exit 2; } # also where nobody can read it

# tick WHAT: how long it takes already; a live line in a terminal, else a line now and
# then. A signal that comes while this is forked is lost, so it looks for the log, too.
tick() {
  SECONDS=0
  while sleep 1 >/dev/null 2>&1 && [ -e "$log" ]; do
    if [ -t 2 ]; then
      [ "$SECONDS" -lt 5 ] || printf '\r%s … %d s\033[K' "$1" "$SECONDS" >&2
    elif [ $((SECONDS % 30)) = 0 ]; then
      echo "$1 … $SECONDS s" >&2
    fi
  done
}

# during WHAT COMMAND…: runs it; what it says is shown if it fails.
during() {
  local what=$1 status=0 pid
  shift
  : >"$log"
  exec 8<"$log"
  set -m
  "$@" </dev/null >"$log" 2>&1 &
  pid=$!
  tick "$what" 9>&- &
  set +m
  wait "$pid" || status=$?
  rm -f "$log" # as in `leave`
  end_jobs TERM # of which bash says nothing; of KILL it does, at times
  wait 2>/dev/null || true
  clear_line
  [ "$status" = 0 ] || cat <&8 >&2
  exec 8<&-
  return "$status"
}

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
  local began=$SECONDS python
  if command -v flock >/dev/null; then
    exec 9>"$root/.install.lock"
    if ! flock -n 9; then
      echo "Another run installs into .venv; waiting for it …" >&2
      during "Waiting" flock 9
    fi
  fi
  installed "$1" && return
  echo "Installing into .venv, once (usually 2 to 4 minutes) …" >&2
  if ! "$venv/bin/python" -P -m pip --version >/dev/null 2>&1; then
    python=$(find_python) || exit 2
    during "Making .venv" "$python" -P -m venv --clear "$venv" ||
      fail "$python -m venv failed; see above"
  fi
  during "Installing" "$venv/bin/python" -P -m pip install -qq \
    --disable-pip-version-check --editable "$2" ||
    fail "pip install failed; see above, then run it again"
  echo "$state" >"$venv/.installed-$1"
  exec 9>&-
  echo "Installed in $((SECONDS - began)) s." >&2
}

# The user's folder stays out: Python's -P, and no entry of PYTHONPATH that is relative
# or the folder itself. A PYTHONHOME is another Python's.
unset PYTHONHOME
entries=${PYTHONPATH-}: PYTHONPATH=
while [ -n "$entries" ]; do
  case ${entries%%:*} in
    "$PWD" | "$PWD/") ;;
    /*) PYTHONPATH+=${PYTHONPATH:+:}${entries%%:*} ;;
  esac
  entries=${entries#*:}
done
export PYTHONPATH

if [ "${1-}" = help ]; then
  case ${2-} in
    "" | test | check) explain; exit ;;
    *) shift; set -- "$1" --help ;;
  esac
fi
job=sweep
case ${1-} in
  sweep | report | prune | finetune | random_checkpoint | pretrain) job=$1; shift ;;
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
  -* | "") ;;
  *) fail "unknown job $1; there are $jobs" ;;
esac

installed test || installed books || install package "$root"
export PYTHONUTF8=1 PYTHONSAFEPATH=1
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
# Where env can, signals wait for the program's own handler: Python's shows a traceback.
waiting=(env --block-signal=HUP,INT,TERM)
"${waiting[@]}" true 2>/dev/null || waiting=()
exec ${waiting[@]+"${waiting[@]}"} "$venv/bin/python" -P -m experiments "$job" "$@"
