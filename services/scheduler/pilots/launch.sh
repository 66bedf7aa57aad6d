# Becomes a Shunter pilot: finds Python, fetches the pilot if it is not here, checks it, and runs it.
# Ends with 91 if there is no Python that is new enough, 92 if the pilot cannot be had, 93 if it is not the right one.
# It takes whatever it needs from the environment; addresses that are secret are shown to nobody by `ps`.
umask 077
python=
for name in ${SHUNTER_PILOT_PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 python \
    /usr/bin/python3 /usr/local/bin/python3 /usr/libexec/platform-python; do
  command -v "$name" >/dev/null 2>&1 || continue
  # It says itself where it is: what leads to it, such as a shim, need not be gone through twice.
  python=$("$name" -I -S -c 'import sys; sys.version_info < (3, 9) or print(sys.executable)' 2>/dev/null)
  [ -n "$python" ] && break
done
if [ -z "$python" ]; then
  echo "shunter: there is no Python 3.9 or newer on $(hostname 2>/dev/null) (tried python3, python3.9 and so on in" \
    "PATH=$PATH); load a module or name one by SHUNTER_PILOT_PYTHON" >&2
  exit 91
fi

file=${SHUNTER_PILOT_FILE:-}
SHUNTER_PILOT_FETCHED=
if [ -z "$file" ]; then
  for place in "${SHUNTER_PILOT_WORK:-}" "${TMPDIR:-}" /tmp .; do
    [ -n "$place" ] || continue
    mkdir -p "$place" 2>/dev/null
    SHUNTER_PILOT_FETCHED=$place/shunter-pilot-${SHUNTER_PILOT_NAME:-job}-$$
    mkdir "$SHUNTER_PILOT_FETCHED" 2>/dev/null && break
    SHUNTER_PILOT_FETCHED=
  done
  if [ -z "$SHUNTER_PILOT_FETCHED" ]; then
    echo "shunter: no folder for the pilot can be made on $(hostname 2>/dev/null); set TMPDIR" >&2
    exit 92
  fi
  export SHUNTER_PILOT_FETCHED
  file=$SHUNTER_PILOT_FETCHED/pilot.pyz
  authorities=
  if [ -n "${SHUNTER_CA:-}" ]; then
    authorities=$SHUNTER_PILOT_FETCHED/ca.pem
    printf '%s\n' "$SHUNTER_CA" >"$authorities"
  fi

  with_curl() {
    command -v curl >/dev/null 2>&1 || return 1
    printf 'url = "%s"\n' "$SHUNTER_PILOT_URL" |
      curl -fsS --noproxy '*' --max-time 60 ${authorities:+--cacert "$authorities"} -K - -o "$file"
  }
  with_wget() {
    command -v wget >/dev/null 2>&1 || return 1
    printf '%s\n' "$SHUNTER_PILOT_URL" |
      wget -q -T 60 ${authorities:+--ca-certificate="$authorities"} -i - -O "$file"
  }
  with_python() {
    "$python" -I -S -c '
import os, ssl, sys
from urllib.request import HTTPSHandler, ProxyHandler, build_opener
context = ssl.create_default_context(cafile=sys.argv[2] or None)
found = build_opener(ProxyHandler({}), HTTPSHandler(context=context)).open(os.environ["SHUNTER_PILOT_URL"], timeout=60)
open(sys.argv[1], "wb").write(found.read())' "$file" "$authorities"
  }

  fetched=
  for pause in 1 2 4 8 16 0; do
    if with_curl 2>"$file.why" || with_wget 2>>"$file.why" || with_python 2>>"$file.why"; then
      fetched=yes
      break
    fi
    sleep "$pause"
  done
  if [ -z "$fetched" ]; then
    echo "shunter: the pilot cannot be fetched on $(hostname 2>/dev/null): $(tail -n 1 "$file.why" 2>/dev/null)" >&2
    rm -rf "$SHUNTER_PILOT_FETCHED"
    exit 92
  fi
elif [ ! -r "$file" ]; then
  echo "shunter: there is no pilot at $file on $(hostname 2>/dev/null)" >&2
  exit 92
fi

if command -v sha256sum >/dev/null 2>&1; then
  sum=$(sha256sum <"$file")
else
  sum=$("$python" -I -S -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())' <"$file")
fi
if [ "${sum%% *}" != "$SHUNTER_PILOT_SHA256" ]; then
  echo "shunter: the pilot on $(hostname 2>/dev/null) is not the right one: its checksum is ${sum%% *}" >&2
  [ -z "$SHUNTER_PILOT_FETCHED" ] || rm -rf "$SHUNTER_PILOT_FETCHED"
  exit 93
fi
exec "$python" -I -S "$file"
