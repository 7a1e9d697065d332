package source

import (
	"strings"
	"testing"

	"mariner/internal/fault"
)

func TestParseSignatures(t *testing.T) {
	good := strings.Repeat("ab", 32)
	long := strings.Repeat("AB", 64)
	s, err := ParseSignatures("z.json", []byte("{\n \"Signatures\": {\n  \"a\": \""+good+"\",\n  \"b\": \""+long+"\"\n }\n}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := s.Of("a"); !ok || a != (Sum{"sha256", good, 3}) {
		t.Errorf("found %+v", a)
	}
	if b, ok := s.Of("b"); !ok || b != (Sum{"sha512", strings.ToLower(long), 4}) {
		t.Errorf("found %+v", b)
	}
	cases := []struct{ name, data, want string }{
		{"empty", "", "z.json:1: the file ends too early"},
		{"no object", "[]", "z.json:1: the file: expected an object in braces, found ["},
		{"nothing", "{}", `expected the key "Signatures", found none`},
		{"unknown key", "{\n\"Signature\": {}}", `z.json:2: unknown key "Signature"; did you mean "Signatures"?`},
		{"twice", "{\"Signatures\": {},\n\"Signatures\": {}}", "z.json:2: Signatures is given twice"},
		{"file twice", "{\"Signatures\": {\"a\": \"" + good + "\",\n\"a\": \"" + good + "\"}}", "z.json:2: a is given twice"},
		{"number", "{\"Signatures\": {\n\"a\": 1}}", "z.json:2: a: expected a digest in quotes, found 1"},
		{"list", "{\"Signatures\": {\"a\": [\"x\"]}}", "a: expected a digest in quotes, found ["},
		{"short", "{\"Signatures\": {\"a\": \"abcd\"}}", "a: expected a SHA-256 (64 hex digits) or SHA-512 (128), found 4 digits"},
		{"no hex", "{\"Signatures\": {\"a\": \"xyz\"}}", `a: expected a SHA-256 or SHA-512 in hex, found "xyz"`},
		{"comma", "{\"Signatures\": {\"a\": \"" + good + "\",\n}}", "z.json:2:"},
		{"truncated", "{\"Signatures\": {\n\"a\": \"" + good + "\"\n", "ends too early"},
		{"more", "{\"Signatures\": {}}\n{}", "z.json:2: expected the end of the file, found {"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseSignatures("z.json", []byte(c.data))
			if err == nil || !strings.Contains(err.Error(), c.want) || fault.KindOf(err) != fault.Source {
				t.Errorf("expected %q, found %v", c.want, err)
			}
		})
	}
}

func FuzzParseSignatures(f *testing.F) {
	f.Add([]byte(`{"Signatures": {"a": "` + strings.Repeat("ab", 32) + `"}}`))
	f.Add([]byte(`{"Signatures": {"a": 1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseSignatures("z.json", data)
		if err == nil && s.sums == nil {
			t.Fatal("expected digests or an error")
		}
	})
}
