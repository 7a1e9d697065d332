package project

import (
	"net"
	"strings"
	"testing"

	"mariner/internal/fault"
)

func TestAccount(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("USER", "First.Last")
	for given, want := range map[string]string{"": "mariner", "root": "mariner", "First.Last": "mariner", "me": "me"} {
		if name, _, err := account(given, ""); name != want || err != nil {
			t.Errorf("%q: found %q, %v, expected %q", given, name, err, want)
		}
	}
	if _, _, err := account("Second.Last", ""); err == nil || !strings.Contains(err.Error(), `--user "Second.Last"`) || fault.KindOf(err) != fault.Usage {
		t.Errorf("found %v", err)
	}
}

func TestPortFree(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := portFree(port); err == nil || !strings.Contains(err.Error(), "--ssh-port") || fault.KindOf(err) != fault.Environment {
		t.Errorf("found %v", err)
	}
	l.Close()
	if err := portFree(port); err != nil {
		t.Error(err)
	}
}
