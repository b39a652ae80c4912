#!/bin/sh
# Install what some tests drive, where we may: as root, with apt. Elsewhere those
# tests are skipped with the reason, except in CI, where nothing may be skipped.
set -eu

need=""
add() { [ -x "$1" ] || need="$need $2"; }
add /usr/sbin/mosquitto mosquitto
add /usr/bin/docker-registry docker-registry
add /usr/bin/strace strace
add /usr/sbin/mkfs.ext4 e2fsprogs
add /usr/bin/chromium chromium
add /usr/bin/systemd-analyze systemd
add /usr/bin/cc "gcc libc6-dev"
[ -d /usr/lib/postgresql ] || need="$need postgresql"
[ -n "$need" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "tests: not installed, and skipped with what needs them:$need"
  exit 0
fi

echo "tests: installing$need"
# The packages' own services are not wanted: the tests start what they need.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $need >/dev/null
