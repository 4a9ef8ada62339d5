# shellcheck shell=bash
# Sourced by the scripts that take long: says what is being done and how far it is.

# At most how often a step that lasts tells how far it is, in seconds.
if [ -t 1 ]; then pulse=1; else pulse=20; fi

say() { printf '%s\n' "$*"; }

step_group=

# The last count that a build, CTest or apt wrote to its log.
how_far() {
  tail -c 4000 "$1" 2>/dev/null | tr '\r' '\n' |
    grep -oE '^\[[0-9]+/[0-9]+\]|^ *[0-9]+/[0-9]+ Test +#[0-9]+: [^ ]+|^(Get:[0-9]+|Unpacking|Setting up)' |
    tail -n 1 | sed 's/[][]//g; s/^ *//; s/ Test .*: / /; s/^Get:.*/Fetching/'
}

# step TITLE LOG COMMAND...: runs the command with its output in LOG; its status is returned, and
# the last lines of LOG are shown if it failed. It has a process group of its own, so that an
# interrupt can end all of it.
step_lines=40
step() {
  local title=$1 log=$2 begun=$SECONDS told=$SECONDS status=0
  shift 2
  mkdir -p "${log%/*}"
  say "$title ..."
  set -m
  "$@" >"$log" 2>&1 </dev/null &
  step_group=$!
  set +m
  while kill -0 "$step_group" 2>/dev/null; do
    sleep 0.3
    if ((SECONDS - told >= pulse)); then
      told=$SECONDS
      if [ -t 1 ]; then
        printf '\r\033[K  %s s  %s' "$((SECONDS - begun))" "$(how_far "$log")"
      else
        say "  $((SECONDS - begun)) s  $(how_far "$log")"
      fi
    fi
  done
  wait "$step_group" || status=$?
  step_group=
  [ ! -t 1 ] || printf '\r\033[K'
  if ((status)); then
    say "  FAILED (status $status, $((SECONDS - begun)) s), see $log"
    tail -n "$step_lines" "$log" | sed 's/^/  | /'
  else
    say "  done ($((SECONDS - begun)) s)"
  fi
  return "$status"
}

# Ends the step under way, with all its processes: first as the terminal would, then harder.
end_step() {
  [ -n "$step_group" ] || return 0
  local signal
  for signal in INT TERM KILL; do
    kill -s "$signal" -- "-$step_group" 2>/dev/null || break
    for _ in {1..50}; do
      kill -0 -- "-$step_group" 2>/dev/null || break 2
      sleep 0.1
    done
  done
  wait "$step_group" 2>/dev/null || true
  step_group=
}
