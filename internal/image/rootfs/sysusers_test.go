package rootfs

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sysusers runs the script over a folder with the given passwd and group and returns its files.
func sysusers(t *testing.T, input string) (map[string]string, error) {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/bash\n", "group": "root:x:0:\nwheel:x:10:\n", "shadow": "root:!*:::::::\n",
		"gshadow": "", // the script would make it with mode 0000, into which only root writes
	} {
		if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("bash", "sysusers.sh", "--root", root, "-")
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Log(string(out))
		return nil, err
	}
	got := map[string]string{}
	for _, name := range []string{"passwd", "group", "shadow", "gshadow"} {
		if err := os.Chmod(filepath.Join(root, "etc", name), 0o600); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(root, "etc", name))
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(data), "root:!*:::::::\n")
		if name != "shadow" {
			after = string(data)
		}
		got[name] = after
	}
	return got, nil
}

func TestSysusers(t *testing.T) {
	const root, groups = "root:x:0:0:root:/root:/bin/bash\n", "root:x:0:\nwheel:x:10:\n"
	for _, tc := range []struct{ name, input, passwd, group string }{
		{"fixed ids, with a comment", "# users\nu web 950 \"The web server\" /srv/web /bin/bash\n", "web:x:950:950:The web server:/srv/web:/bin/bash\n", "web:x:950:\n"},
		{"free ids", "u a -\nu b -\n", "a:x:999:999::/:/usr/sbin/nologin\nb:x:998:998::/:/usr/sbin/nologin\n", "a:x:999:\nb:x:998:\n"},
		{"a locked user", "u! locked 7 'single quoted' - -\n", "locked:x:7:7:single quoted:/:/usr/sbin/nologin\n", "locked:x:7:\n"},
		{"a user and a group by number", "u x 5:10\n", "x:x:5:10::/:/usr/sbin/nologin\n", ""},
		{"a user with a group by name, made later", "u x 5:mail\ng mail 12\n", "x:x:5:12::/:/usr/sbin/nologin\n", "mail:x:12:\n"},
		{"a member", "g video 39\nu me 40\nm me wheel\nm me video\nm me wheel\n", "me:x:40:40::/:/usr/sbin/nologin\n", "wheel"},
		{"again", "u root 0 \"other\" / /bin/false\n", "", ""},
		{"id from a file", "u f /usr/bin/f\n", "f:x:999:999::/:/usr/sbin/nologin\n", "f:x:999:\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := sysusers(t, tc.input)
			if err != nil {
				t.Fatal(err)
			}
			if got["passwd"] != root+tc.passwd {
				t.Errorf("passwd:\n%s", got["passwd"])
			}
			if tc.group == "wheel" {
				if got["group"] != "root:x:0:\nwheel:x:10:me\nvideo:x:39:me\nme:x:40:\n" || !strings.Contains(got["gshadow"], "video:!*::me\n") {
					t.Errorf("groups:\n%s%s", got["group"], got["gshadow"])
				}
			} else if got["group"] != groups+tc.group {
				t.Errorf("group:\n%s", got["group"])
			}
			for line := range strings.Lines(got["shadow"]) {
				if !strings.HasSuffix(line, ":!*:::::::\n") {
					t.Errorf("shadow: %s", line)
				}
			}
		})
	}
	if _, err := sysusers(t, "u bad:name 1\n"); err == nil {
		t.Error("a name with a colon is accepted")
	}
}

func TestParseOSRelease(t *testing.T) {
	got := parseOSRelease("# c\nID=mariner\nPRETTY_NAME=\"Mariner Linux\"\nX='y'\n\nnonsense\nE=\n")
	want := map[string]string{"ID": "mariner", "PRETTY_NAME": "Mariner Linux", "X": "y", "E": ""}
	if !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
