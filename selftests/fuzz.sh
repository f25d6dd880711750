#!/bin/bash
# fuzz.sh - each fuzz target of tests/fuzz for some seconds, from its corpus and a new seed.
# A finding is printed as base64: `base64 -d >FILE`, then `build/fuzz/TARGET FILE` shows it again.
#
# Environment: FUZZ_SECONDS (default 5).

# shellcheck disable=SC2317 # functions are called by check
# shellcheck source=selftests/lib.sh
. "$(dirname "$0")/lib.sh"

SECONDS_EACH=${FUZZ_SECONDS:-5}
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1

# fuzz TARGET: passes when nothing was found and something was run.
fuzz() {
	local target=$1 seed=$RANDOM found status
	mkdir -p "$T/$target"
	"$HERE/../build/fuzz/$target" -seed="$seed" -max_total_time="$SECONDS_EACH" -max_len=2048 \
		-dict="$HERE/../tests/fuzz/$target.dict" -artifact_prefix="$T/found-" \
		"$T/$target" "$HERE/../tests/fuzz/$target" >"$T/log" 2>&1
	status=$?
	for found in "$T"/found-*; do
		[ ! -e "$found" ] || { echo "found by seed $seed:" && base64 "$found"; }
	done
	if [ "$status" = 0 ] && grep -q '^Done [0-9]* runs' "$T/log"; then return 0; fi
	echo "seed $seed: exit $status"
	grep -vE '^#[0-9]+[[:space:]]' "$T/log" | tail -n 60
	return 1
}

for source in "$HERE"/../tests/fuzz/*.c; do
	name=$(basename "$source" .c)
	check "fuzz $name for $SECONDS_EACH s" fuzz "$name"
done
finish
