# Runs in the guest, as root, from a credential. Reports go to the host over a virtio serial port.
port=
for p in /sys/class/virtio-ports/*/name; do
  [ "$(cat "$p")" != org.mariner.check ] || port=/dev/$(basename "$(dirname "$p")")
done
if [ -z "$port" ]; then
  echo "the virtio serial port org.mariner.check is missing" >&2
  exit 1
fi
exec 9>"$port"
report() { echo "$*" >&9; }
check() { # NAME SECONDS SCRIPT, the first and the last in base64
  local text code=0
  text=$(base64 -d <<<"$3")
  report begin "$1"
  text=$(timeout --kill-after=5 "$2" bash -euo pipefail -c "$text" 2>&1 </dev/null 9>&-) || code=$?
  report end "$1" "$code" "$(printf %s "$text" | tail -c 49152 | base64 -w 0)"
}
report ready
