package sandbox

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"

	"mariner/internal/fault"
)

// idmap says how ids 0..65535 inside are mapped: one to one for root, else 0 to the user and the
// rest to the user's subordinate ranges, which newuidmap and newgidmap write (user_namespaces(7)).
type idmap struct {
	direct     bool
	uid, gid   int
	suid, sgid int
}

// subRange finds at least 65535 subordinate ids of a user in file (subuid(5)).
func subRange(file string, names ...string) (int, bool) {
	f, err := os.Open(file)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		p := strings.Split(strings.TrimSpace(sc.Text()), ":")
		if len(p) != 3 {
			continue
		}
		for _, n := range names {
			start, err1 := strconv.Atoi(p[1])
			count, err2 := strconv.Atoi(p[2])
			if p[0] == n && err1 == nil && err2 == nil && count >= 65535 {
				return start, true
			}
		}
	}
	return 0, false
}

// idMaps finds the map for this user; the error says what to add where.
func idMaps() (idmap, error) {
	uid, gid := os.Geteuid(), os.Getegid()
	if uid == 0 {
		return idmap{direct: true}, nil
	}
	name := strconv.Itoa(uid)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	m := idmap{uid: uid, gid: gid}
	var okU, okG bool
	m.suid, okU = subRange("/etc/subuid", name, strconv.Itoa(uid))
	m.sgid, okG = subRange("/etc/subgid", name, strconv.Itoa(uid))
	if !okU || !okG {
		return m, fault.Errorf(fault.Environment, "user %s has no range of 65536 ids in /etc/subuid and /etc/subgid; add one: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s", name, name)
	}
	for _, tool := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(tool); err != nil {
			return m, fault.Errorf(fault.Environment, "%s is missing; install it: sudo apt-get install uidmap", tool)
		}
	}
	return m, nil
}

// write maps the ids of process pid, unless the kernel was told when it started.
func (m idmap) write(pid int) error {
	if m.direct {
		return nil
	}
	for _, w := range []struct {
		tool    string
		id, sub int
	}{{"newuidmap", m.uid, m.suid}, {"newgidmap", m.gid, m.sgid}} {
		out, err := exec.Command(w.tool, strconv.Itoa(pid), "0", strconv.Itoa(w.id), "1",
			"1", strconv.Itoa(w.sub), "65535").CombinedOutput()
		if err != nil {
			return fault.Errorf(fault.Environment, "%s: %w: %s", w.tool, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// String describes the map for `mariner doctor`.
func (m idmap) String() string {
	if m.direct {
		return "root: ids one to one"
	}
	return fmt.Sprintf("0=%d, 1-65535=%d-%d", m.uid, m.suid, m.suid+65534)
}

// Probe says in a word how ids are mapped here, or what is missing.
func Probe() (string, error) {
	m, err := idMaps()
	return m.String(), err
}
