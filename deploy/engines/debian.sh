#!/usr/bin/env bash
# Installs the Debian packages that a file names, one a line; nothing is asked of a mirror if they are all there.
set -euo pipefail
mapfile -t wanted < <(grep -Ev '^\s*(#|$)' "$1")
missing=()
for package in "${wanted[@]}"; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
echo "==> installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
