#!/bin/sh
# Everything that `npm test` shows of virtual machines, at length: hundreds of recovery points of guests under load, all of them
# compared and booted. Takes hours; run it at night. STILLPOINT_POINTS says how many points.
#
#   npm run test:nightly [-- ARGUMENT OF VITEST...]
set -eu
cd "$(dirname "$0")/.."
export STILLPOINT_POINTS="${STILLPOINT_POINTS:-300}"
export STILLPOINT_BOOTS="${STILLPOINT_BOOTS:-$STILLPOINT_POINTS}"
exec sh scripts/bootstrap.sh test node_modules/vitest/vitest.mjs run --project e2e "$@" test/e2e/vm-consistency
