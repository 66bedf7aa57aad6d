# Becomes a Shunter pilot: finds Python, which fetches the pilot if it is not here, checks it, and goes on in it.
# Ends with 91 if there is no Python that is new enough, 92 if the pilot cannot be had, 93 if it is not the right one.
# It takes whatever it needs from the environment; addresses that are secret are shown to nobody by `ps`.
umask 077
python=
for name in ${SHUNTER_PILOT_PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 python \
    /usr/bin/python3 /usr/local/bin/python3 /usr/libexec/platform-python; do
  found=$(command -v "$name" 2>/dev/null) || continue
  # What only leads to it, such as a shim, is gone through once.
  first=
  IFS= read -r first <"$found" 2>/dev/null
  case $first in
    '#!'*) found=$("$found" -I -S -c 'import sys; print(sys.executable)' 2>/dev/null) ;;
  esac
  case $("$found" -V 2>/dev/null) in
    'Python 3.'[0-8] | 'Python 3.'[0-8][!0-9]*) ;;
    'Python 3.'*) python=$found && break ;;
  esac
done
if [ -z "$python" ]; then
  echo "shunter: there is no Python 3.9 or newer on $(hostname 2>/dev/null) (tried python3, python3.9 and so on in" \
    "PATH=$PATH); load a module or name one by SHUNTER_PILOT_PYTHON" >&2
  exit 91
fi

file=${SHUNTER_PILOT_FILE:-}
unset SHUNTER_PILOT_FETCHED
case ${file:-${SHUNTER_PILOT_URL:-}} in
  https:*)
    # Many a Python knows no authorities, or has no TLS; and curl is there sooner than what it would load for that.
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
    ;;
esac
exec "$python" -I -S -c "$boot" "$file"
