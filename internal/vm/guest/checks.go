package guest

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Running checks that the system came up with nothing failed.
func Running() []Check {
	return []Check{
		{"system is running", `state=$(systemctl is-system-running --wait) || true
echo "$state"
[ "$state" = running ] || { systemctl list-jobs; systemctl --failed; exit 1; }`, 5 * time.Minute},
		{"no unit failed", `failed=$(systemctl --failed --plain --no-legend)
[ -z "$failed" ] || { echo "$failed"; journalctl -b --no-pager -n 60 -p warning; exit 1; }`, 0},
	}
}

// Locked checks that nobody can log in as root with a password.
func Locked() Check {
	return Check{"root is locked", `entry=$(grep '^root:' /etc/shadow)
case $entry in root:\!* | root:\**) echo locked ;; *) echo "root can log in with a password"; exit 1 ;; esac`, 0}
}

// Firewall checks that incoming connections are refused unless a rule allows them.
func Firewall() Check {
	return Check{"firewall is loaded", `for t in iptables ip6tables; do
  $t -w 10 -S INPUT
  $t -w 10 -S INPUT | grep -qx -e '-P INPUT DROP'
done`, 0}
}

// Verified checks every installed file against rpm's database. changed are paths that may differ:
// what the first boot or the configuration writes.
func Verified(changed ...string) Check {
	var words []string
	for _, c := range changed {
		words = append(words, "'"+strings.ReplaceAll(c, "'", `'\''`)+"'")
	}
	return Check{"rpm -Va is clean", fmt.Sprintf(`may=(%s)
bad=
while read -r line; do
  path=/${line#*/}
  for m in "${may[@]}"; do [ "$path" != "$m" ] || continue 2; done
  bad+=$line$'\n'
done < <(rpm -Va || true)
[ -z "$bad" ] || { printf %%s "$bad"; exit 1; }
[ "$(rpm -qa | wc -l)" -gt 10 ]`, strings.Join(words, " ")), 5 * time.Minute}
}

// ArchiveSerial is the serial number of the disk that holds a container's archive.
const ArchiveSerial = "mariner-oci"

// Container checks that containerd runs the image in the OCI archive on the disk with ArchiveSerial,
// that the container prints its os-release, and that it reaches the host's server at port (see Serve)
// through the network that CNI makes.
func Container(port int) Check {
	return Check{"a container runs and reaches the network", fmt.Sprintf(`disk=
for d in /sys/block/*/serial; do [ "$(cat "$d")" != %s ] || disk=/dev/$(basename "$(dirname "$d")"); done
[ -n "$disk" ] || { echo "the disk with the archive is missing"; exit 1; }
for ((i = 0; i < 60; i++)); do ctr version >/dev/null 2>&1 && break; sleep 1; done
ctr -n check images import "$disk"
ref=$(ctr -n check images ls -q | head -n 1)
ctr -n check run --rm --cni "$ref" check /bin/bash -c 'cat /usr/lib/os-release; exec 3<>/dev/tcp/10.0.2.2/%d; printf "GET / HTTP/1.0\r\n\r\n" >&3; cat <&3' | tee /tmp/container
grep -q '^ID=' /tmp/container
grep -q '%s' /tmp/container`, ArchiveSerial, port, answer), 5 * time.Minute}
}

// answer is what the server says.
const answer = "hello from the host"

// Serve starts an HTTP server on this machine's loopback, which a guest sees as 10.0.2.2.
func Serve() (port int, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, nil, fmt.Errorf("starting a server for the guest: %w", err)
	}
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, answer)
	})}
	go s.Serve(l)
	return l.Addr().(*net.TCPAddr).Port, func() { s.Close() }, nil
}

// Standard are the checks of the default image: all of the above. port is Serve's.
func Standard(port int, changed ...string) []Check {
	return slices.Concat(Running(), []Check{Locked(), Firewall(), Container(port), Verified(changed...)})
}
