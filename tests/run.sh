#!/bin/bash
# run.sh [PART]...: installs what is needed (as root), builds, runs the tests, and ends with a count
# and a verdict. Long output goes to build/log. Parts:
#   all    every test but the fuzz targets (the default)
#   unit   live   guest   bench   built   those with this CTest label
#   asan   with clang's address and undefined-behaviour sanitizers: the unit tests, some live ones,
#          and each fuzz target for some seconds
#   tsan   with clang's thread sanitizer: the unit tests of what has threads
#   check  formatter, clang-tidy, layers
#   long   what is too long for every day: each fuzz target for WGVITALS_FUZZ_SECONDS (default 300),
#          and all live tests with the sanitizers that measure nothing which those change
# Where time is short: WGVITALS_SECONDS, after which no further part is begun, and
# WGVITALS_TIDY_SECONDS, after which clang-tidy begins no further file.
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/progress.sh

export PYTHONDONTWRITEBYTECODE=1
export CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"
log=build/log
short_fuzz=-DWGVITALS_FUZZ_SECONDS=6
# Those that measure no memory, descriptors or start, which the sanitizers change.
sanitized_live='\.(collectd|collectd_pipelines|faults_devices|faults_names|line_protocol_judge|names|names_pipelines|rights|tunnel)$'
passed=0
failed=0

interrupted() {
  trap '' INT TERM HUP
  say ""
  say "interrupted: ending what runs"
  end_step
  exit 130
}
trap interrupted INT TERM HUP

# What a part cannot go on without; its failure counts as one.
need() {
  "$@" || { failed=$((failed + 1)); return 1; }
}

# A step that counts as one test.
count() {
  if step "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# build PRESET [CMake's settings...]
build() {
  need step "configuring build/$1" "$log/$1-configure.log" cmake --preset "$@" &&
    need step "building build/$1" "$log/$1-build.log" cmake --build --preset "$1"
}

# The output of each test that failed, its end, from CTest's log.
failures() {
  awk '/^ *[0-9]+\/[0-9]+ Test +#/ { show(); failed = /\*\*\*/ }
       /^ +Start +[0-9]+: / || /^[0-9]+% tests passed/ { show(); failed = 0 }
       failed { kept[++n] = $0 }
       function show(  i) {
         if (n) print "  " kept[1]
         for (i = n > 41 ? n - 39 : 2; i <= n; i++) print "  | " kept[i]
         n = 0
       }' "$1"
}

# A test that was skipped or could not be started has not passed.
passed_in() {
  grep -cs '^[[:space:]]*<testcase .* status="run"' "$1" || [ -f "$1" ] || echo 0
}

# alone NAME PRESET REPORT: a few tests on real hosts that failed run once more, one by one, and the
# ones that pass are counted in `saved`: what the load of the others did to them stays in the output,
# and does not decide.
alone() {
  local again report=$PWD/$log/$1-alone.xml
  saved=0
  mapfile -t again < <(sed -nE '/status="run"/d; s/^[[:space:]]*<testcase name="((live|guest|bench)\.[^"]+)".*/\1/p' "$3")
  if ((${#again[@]} == 0 || ${#again[@]} > 4)); then return 0; fi
  rm -f "$report"
  step_lines=0 step "once more, alone: ${again[*]}" "$log/$1-alone.log" \
    ctest --preset "$2" -R "^($(IFS='|' && echo "${again[*]//./\\.}"))\$" --output-junit "$report" || true
  saved=$(passed_in "$report")
  failures "$log/$1-alone.log"
  say "  $saved of ${#again[@]} passed alone, having failed beside others"
}

# run_tests NAME PRESET [CTest's selection...]
run_tests() {
  local name=$1 preset=$2 report=$PWD/$log/$1-tests.xml status=0 all good
  shift 2
  rm -f "$report"
  step_lines=0 step "running the tests: $name" "$log/$name-tests.log" \
    ctest --preset "$preset" "$@" -j "$CMAKE_BUILD_PARALLEL_LEVEL" --output-junit "$report" || status=$?
  all=$(grep -c '^[[:space:]]*<testcase ' "$report" 2>/dev/null || true)
  if [ "${all:-0}" = 0 ]; then
    say "  no test ran:"
    tail -n 10 "$log/$name-tests.log" | sed 's/^/  | /'
    failed=$((failed + 1))
    return
  fi
  good=$(passed_in "$report")
  failures "$log/$name-tests.log"
  say "  $good of $all passed"
  alone "$name" "$preset" "$report"
  good=$((good + saved))
  passed=$((passed + good))
  failed=$((failed + all - good))
  if ((good == all && saved == 0 && status != 0)); then failed=$((failed + 1)); fi
}

# newest_first FILES: by the last commit that touched them, where git tells it.
newest_first() {
  { printf '%s\n' "$1" '' && git log --format= --name-only 2>/dev/null || true; printf '%s\n' "$1"; } |
    awk '!all { if ($0 == "") all = 1; else ours[$0]; next } ($0 in ours) && !seen[$0]++'
}

# clang-tidy for each of our files that build/asan, clang's, compiles, the newest first; what it says
# stands at the end.
tidy() {
  local files total remarks=$PWD/$log/tidy-remarks.log status=0 end=0
  files=$(newest_first "$(sed -n "s|^ *\"file\": \"$PWD/\([^\"]*\)\".*|\1|p" build/asan/compile_commands.json |
    grep -E "^(common|plugins|tests)/" | sort -u)")
  [ -n "$files" ] || { echo "build/asan/compile_commands.json names none of our files"; return 1; }
  total=$(wc -l <<<"$files")
  [ -z "${WGVITALS_TIDY_SECONDS:-}" ] || end=$(($(date +%s) + WGVITALS_TIDY_SECONDS))
  : >"$remarks"
  # shellcheck disable=SC2016
  nl -w 1 -s ' ' <<<"$files" | xargs -P "$CMAKE_BUILD_PARALLEL_LEVEL" -L 1 bash -c '
    if (($2 > 0 && $(date +%s) >= $2)); then echo "left $4"; exit 0; fi
    said=$(clang-tidy-14 -quiet -p build/asan "$4" 2>&1) && status=0 || status=$?
    echo "[$3/$0] $4"
    ((status == 0)) || printf "%s\nclang-tidy %s: status %s\n" "$said" "$4" "$status" >>"$1"
    exit $((status != 0))' "$total" "$remarks" "$end" || status=$?
  cat "$remarks"
  return "$status"
}

format() {
  find common plugins tests \( -name '*.h' -o -name '*.cpp' \) -print0 |
    xargs -0 clang-format-14 --dry-run -Werror
}

part() {
  say "== $1"
  case $1 in
    check)
      need packaging/dependencies.sh build test check && build asan "$short_fuzz" || return 0
      count "format" "$log/format.log" format
      count "layers: the check itself" "$log/layers-self-test.log" tests/layers.py --self-test
      count "layers" "$log/layers.log" tests/layers.py
      count "clang-tidy" "$log/tidy.log" tidy
      left=$(grep -c '^left ' "$log/tidy.log" || true)
      ((left == 0)) || say "  $left files, the oldest, were left out: WGVITALS_TIDY_SECONDS is over"
      ;;
    asan)
      need packaging/dependencies.sh build test check && build asan "$short_fuzz" || return 0
      run_tests asan asan -L '^(unit|fuzz)$'
      run_tests asan-live asan -L '^live$' -R '\.(tunnel|collectd|faults_devices)$'
      ;;
    tsan)
      need packaging/dependencies.sh build test check && build tsan || return 0
      run_tests tsan tsan
      ;;
    long)
      need packaging/dependencies.sh build test check &&
        build asan -DWGVITALS_FUZZ_SECONDS="${WGVITALS_FUZZ_SECONDS:-300}" || return 0
      run_tests long-fuzz asan -L '^fuzz$'
      run_tests long-live asan -L '^live$' -R "$sanitized_live"
      ;;
    *)
      need packaging/dependencies.sh build test && build dev || return 0
      if [ "$1" = all ]; then run_tests all dev; else run_tests "$1" dev -L "^$1\$"; fi
      ;;
  esac
}

[ $# -gt 0 ] || set -- all
for name in "$@"; do
  [[ $name =~ ^[a-z]+$ ]] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2; }
done
for name in "$@"; do
  if [ "$name" != "$1" ] && ((SECONDS >= ${WGVITALS_SECONDS:-SECONDS + 1})); then
    say "== $name: left out, the $WGVITALS_SECONDS s of WGVITALS_SECONDS are over on this slow machine"
  else
    part "$name"
  fi
done

say ""
status=1
if ((failed == 0 && passed > 0)); then status=0; say "verdict: OK"; else say "verdict: FAILED"; fi
say "$passed passed, $failed failed"
exit "$status"
