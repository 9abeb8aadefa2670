#!/usr/bin/env bash
# Gets the server programs that tests talk to, through apt, when this is root and they are missing.
# What stays missing is decided by the tests: skipped loudly, or a failure when CI=true.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin" DEBIAN_FRONTEND=noninteractive

missing=()
for program in mosquitto skopeo strace chromium nginx; do
  command -v "$program" >/dev/null || missing+=("$program")
done
command -v softhsm2-util >/dev/null || missing+=(softhsm2)
compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || missing+=(postgresql)
[ "${#missing[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]} (tests that need them will say so); as root: apt-get install ${missing[*]}" >&2
  exit 0
fi
echo "installing ${missing[*]} with apt" >&2
apt-get update -qq </dev/null || echo "apt-get update failed; trying with the lists there are" >&2
install() { apt-get install -qq -y --no-install-recommends "$@" </dev/null >/dev/null; }
# All at once is faster; one that this system does not have must not keep the others away.
install "${missing[@]}" || for program in "${missing[@]}"; do
  install "$program" || echo "apt could not install $program (tests that need it will say so)" >&2
done
# The tests start servers of their own: the packaged services that apt may have started are not wanted.
if [ -d /run/systemd/system ]; then
  for service in mosquitto nginx postgresql; do
    [[ " ${missing[*]} " == *" $service "* ]] || continue
    systemctl disable --now --quiet "$service" || echo "the $service service could not be stopped" >&2
  done
fi
