#!/bin/sh
# Makes a fresh clone ready, then runs a script with the right Node:
#
#   sh scripts/bootstrap.sh PURPOSE [SCRIPT [ARGUMENT...]]
#
# Plain sh, because it runs before anything is installed. It does only what is missing: Debian packages (as root; else it
# says which are missing and goes on), npm packages, the build. When all is there it takes a few milliseconds.
set -eu

# The one place that says which Debian packages are needed, and for what.
packages_for() {
  case $1 in
    check | package) echo libatomic1 ;;
    run) echo libatomic1 e2fsprogs ;;
    test) echo libatomic1 e2fsprogs acl age attr zsh fish mandoc zbar-tools openssh-client openssh-server prometheus prometheus-alertmanager \
      python3-cryptography python3-argon2 python3-zstandard restic qemu-system-x86 qemu-utils ovmf libnbd-bin busybox-static binutils ceph-mon ceph-osd radosgw ceph-common python3-swift chromium \
      debootstrap systemd-container ;;
    bench) echo libatomic1 e2fsprogs restic rclone borgbackup openssh-client openssh-server \
      qemu-system-x86 qemu-utils libnbd-bin binutils ceph-mon ceph-osd radosgw ceph-common virtnbdbackup libvirt-clients libvirt-daemon ;;
    *) fail "unknown purpose '$1'; it is one of check, run, test, bench, package" ;;
  esac
}

say() {
  echo "stillpoint: $1" >&2
}

fail() {
  say "$1"
  exit 1
}

# Runs apt-get with its output in a file; waits up to ten minutes for another process that holds one of its locks.
apt() {
  tries=0
  until DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" >"$scratch/apt" 2>&1 </dev/null; do
    if ! grep -qi 'could not get lock\|unable to lock' "$scratch/apt" || [ "$tries" -eq 200 ]; then
      return 1
    fi
    [ "$tries" -gt 0 ] || say "another process is installing packages; waiting for it"
    tries=$((tries + 1))
    sleep 3
  done
}

# While this file says 101, Debian's packages don't start the services that they bring: the tests want the program
# prometheus, not its service. A file that is already there is the administrator's, and stays as it is.
policy=/usr/sbin/policy-rc.d
policy_mark="# Made by Stillpoint's scripts/bootstrap.sh, which removes it when the packages are installed."

hold_services() {
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" >"$policy"
    chmod 755 "$policy"
  fi
}

release_services() {
  if [ -w "$policy" ] && grep -qF "$policy_mark" "$policy"; then
    rm -f "$policy"
  fi
}

install_debian_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "this isn't Debian, so please see to it that these are there: $packages"
    return
  fi
  missing=
  for package in $packages; do
    case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
      *" installed") ;;
      *) missing="$missing $package" ;;
    esac
  done
  if [ -z "$missing" ]; then
    return
  fi
  if [ "$(id -u)" -ne 0 ]; then
    say "missing, and only root can install them:$missing"
    say "going on without; what needs them fails or is left out (apt-get install$missing)"
    return
  fi
  say "installing Debian packages:$missing"
  hold_services
  # First with the package lists as they are: fetching new ones takes longer than all the rest, and is seldom needed.
  # $missing is not quoted: one word per package.
  if ! apt install --no-install-recommends $missing; then
    say "fetching Debian's package lists"
    { apt update && apt install --no-install-recommends $missing; } || {
      tail -n 5 "$scratch/apt" >&2
      fail "apt-get failed, see above. When that is mended, run this again, or: apt-get install$missing"
    }
  fi
  release_services
}

# A kernel for the guests of the tests: unpacked, not installed, so that it doesn't become this machine's own. The name of the
# package changes with every update; the one that is here already is good for ever.
unpack_guest_kernel() {
  kernel=.cache/guest-kernel
  if [ -e "$kernel/vmlinuz" ] || ! command -v apt-cache >/dev/null; then
    return
  fi
  say "fetching Debian's kernel for the test guests"
  if ! download_kernel && ! { [ "$(id -u)" -eq 0 ] && apt update && download_kernel; }; then
    tail -n 5 "$scratch/apt" >&2
    say "apt-get failed, see above; going on without, so tests with a Linux guest fail"
    return
  fi
  dpkg -x "$scratch"/linux-image-*.deb "$scratch/kernel"
  rm -rf "$kernel" "$kernel.new"
  mkdir -p "$kernel.new"
  cp -R "$scratch"/kernel/lib/modules/*/kernel "$kernel.new/modules"
  cp "$scratch"/kernel/boot/vmlinuz-* "$kernel.new/vmlinuz"
  mv "$kernel.new" "$kernel"
}

download_kernel() {
  : >"$scratch/apt"
  kernel_package=$(apt-cache depends linux-image-cloud-amd64 | grep -o 'linux-image-[0-9][^ ]*' | head -n 1)
  [ -n "$kernel_package" ] && (cd "$scratch" && apt download "$kernel_package")
}

install_npm_packages() {
  installed=node_modules/.package-lock.json
  if [ -e "$installed" ] && [ -z "$(find package-lock.json -newer "$installed")" ]; then
    return
  fi
  command -v npm >/dev/null || fail "npm is missing. On Debian: apt-get install npm"
  say "installing npm packages"
  # Install scripts are off: none is needed, and what doesn't run can do no harm.
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >"$scratch/npm" 2>&1 || {
    tail -n 15 "$scratch/npm" >&2
    fail "npm ci failed, see above. When that is mended, run this again."
  }
  touch "$installed"
}

build() {
  if [ ! -e dist/.stamp ] || [ -n "$(find src scripts/bundle* package-lock.json -newer dist/.stamp -print -quit)" ]; then
    sh scripts/build.sh
  fi
}

cd "$(dirname "$0")/.."
root=$PWD
purpose=${1:?"give a purpose: check, run, test, bench or package"}
shift
packages=$(packages_for "$purpose")

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"; release_services' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# One at a time: two first commands in the same clone would install over each other.
exec 9<package.json
flock 9
install_debian_packages
[ "$purpose" != test ] || unpack_guest_kernel
install_npm_packages
. bin/find-node.sh
find_node
case $purpose in check | package) ;; *) build ;; esac
exec 9<&-

trap - EXIT INT TERM
rm -rf "$scratch"
[ "$#" -eq 0 ] || exec "$node" --disable-warning=ExperimentalWarning "$@"
