package sandbox

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"slices"
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

// rangeSize is how many subordinate ids a user needs. The map takes one less, mmdebstrap does not.
const rangeSize = 65536

// The files of subordinate ids (subuid(5)).
const subUIDs, subGIDs = "/etc/subuid", "/etc/subgid"

// subID is a range of ids that is its owner's.
type subID struct {
	owner        string
	start, count int
}

func subIDs(file string) (out []subID) {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		p := strings.Split(strings.TrimSpace(sc.Text()), ":")
		if len(p) != 3 {
			continue
		}
		start, err1 := strconv.Atoi(p[1])
		count, err2 := strconv.Atoi(p[2])
		if err1 == nil && err2 == nil {
			out = append(out, subID{p[0], start, count})
		}
	}
	return out
}

// subRange finds a range in file that is large enough, of a user who may be called by these names.
func subRange(file string, names ...string) (int, bool) {
	for _, r := range subIDs(file) {
		if r.count >= rangeSize && slices.Contains(names, r.owner) {
			return r.start, true
		}
	}
	return 0, false
}

// addRange is the command that gives a user a range which nobody has: two users with the same ids
// could change each other's files. tools/setup says the same.
func addRange(name string, files ...string) string {
	free := 100000
	for _, file := range files {
		for _, r := range subIDs(file) {
			free = max(free, r.start+r.count)
		}
	}
	r := fmt.Sprintf("%d-%d", free, free+rangeSize-1)
	return "sudo usermod --add-subuids " + r + " --add-subgids " + r + " " + name
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
	m.suid, okU = subRange(subUIDs, name, strconv.Itoa(uid))
	m.sgid, okG = subRange(subGIDs, name, strconv.Itoa(uid))
	if !okU || !okG {
		return m, fault.Errorf(fault.Environment, "user %s has no range of %d ids in %s and %s; add one: %s", name, rangeSize, subUIDs, subGIDs, addRange(name, subUIDs, subGIDs))
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
