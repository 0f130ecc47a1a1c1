#!/bin/sh
# Makes dist/ from src/ and the packages: plain JavaScript in few files, which starts faster and idles in less memory than the
# sources do (docs/decisions/0001-toolchain.md has the figures). Types are not checked here: `npm run check` does that.
set -eu

cd "$(dirname "$0")/.."
root=$PWD
. bin/find-node.sh
find_node

# Built aside and then put in place, so that nobody starts half of it.
rm -rf dist.new
mkdir dist.new
# Made first: a source that changes from now on is newer than the build, and bin/stillpoint then runs the sources.
touch dist.new/.stamp

"$node" --disable-warning=ExperimentalWarning scripts/bundle.ts dist.new

rm -rf dist.old
[ ! -e dist ] || mv dist dist.old
mv dist.new dist
rm -rf dist.old
