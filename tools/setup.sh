#!/usr/bin/env bash
# Sets up what `make demo` and `make test` need: Debian packages that are missing, a virtual environment,
# the packages from PyPI at the versions of constraints.txt. Says what it does; does nothing twice.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
venv=${VENV:-.venv}

say() { if [ -t 2 ]; then printf '\033[2m[setup]\033[0m %s\n' "$*" >&2; else printf '[setup] %s\n' "$*" >&2; fi; }
fail() { printf '[setup] %s\n' "$*" >&2; exit 1; }

command -v "$python" >/dev/null || fail "'$python' is not on the PATH; install Python 3.11 or later, or say where: make PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
  || fail "'$python' is $("$python" --version); Python 3.11 or later is needed: make PYTHON=/path/to/python3.11"

missing=()
for need in iptables:iptables ip:iproute2; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  missing+=("$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')")
fi
if ((${#missing[@]})); then
  command -v apt-get >/dev/null || fail "missing: ${missing[*]}; install them with your system's package manager"
  [ "$(id -u)" = 0 ] || fail "missing Debian packages: ${missing[*]}; run as root: apt-get install -y ${missing[*]}"
  say "installing Debian packages: ${missing[*]}"
  log=$(mktemp)
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
    >"$log" 2>&1 || { tail -n 20 "$log" >&2; rm -f "$log"; fail "apt-get could not install ${missing[*]} (see above)"; }
  rm -f "$log"
fi

if [ ! -x "$venv/bin/python" ]; then
  say "creating the virtual environment $venv"
  "$python" -m venv "$venv"
fi
say "installing Python packages (about a minute the first time)"
"$venv/bin/pip" install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]' \
  || fail "pip could not install the packages (see above)"
"$venv/bin/python" -m compileall -q mesh fixtures  # Pods see the sources read-only and could not keep this
touch "$venv/.ready"
say "ready"
