package yamlfile

import (
	"errors"
	"strings"
	"testing"
)

type short struct {
	Path string   `yaml:"path"`
	More []string `yaml:"more"`
}

func (s *short) FromScalar(text string) error {
	if text == "bad" {
		return errors.New("expected something good")
	}
	s.Path = text
	return nil
}

type upper string

func (u *upper) UnmarshalText(text []byte) error {
	if *u = upper(strings.ToUpper(string(text))); *u == "" {
		return errors.New("expected a word")
	}
	return nil
}

type document struct {
	Name   string              `yaml:"name"`
	Count  int                 `yaml:"count"`
	On     bool                `yaml:"on"`
	Upper  upper               `yaml:"upper"`
	Items  []short             `yaml:"items"`
	Groups map[string][]string `yaml:"groups"`
	Inner  struct {
		Key string `yaml:"key"`
	} `yaml:"inner"`
	hidden string
}

func TestDecode(t *testing.T) {
	var d document
	lines, err := Decode("a.yaml", []byte(`# a comment
name: "1.0"
count: 3
on: true
upper: 0755x
items:
  - one
  - path: two
    more: [x]
groups:
  "lib(a)": [b, c]
inner:
  key:
`), &d)
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != "1.0" || d.Count != 3 || !d.On || d.Upper != "0755X" || len(d.Items) != 2 || d.Items[0].Path != "one" ||
		d.Items[1].Path != "two" || d.Items[1].More[0] != "x" || len(d.Groups["lib(a)"]) != 2 || d.Inner.Key != "" || d.hidden != "" {
		t.Errorf("found %+v", d)
	}
	for path, want := range map[string]string{
		"name": "a.yaml:2", "items[1].path": "a.yaml:8", "items[1].none": "a.yaml:8", "groups.lib(a)[1]": "a.yaml:11", "inner.key": "a.yaml:13", "none": "a.yaml",
	} {
		if got := lines.At(path); got != want {
			t.Errorf("%s: expected %s, found %s", path, want, got)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	cases := []struct{ name, data, want string }{
		{"empty", "", "a.yaml: the file is empty"},
		{"only a comment", "# nothing\n", "a.yaml: the file is empty"},
		{"unknown key", "name: x\nconut: 3\n", `a.yaml:2: unknown key "conut"; did you mean "count"?`},
		{"unknown key below", "inner:\n  zzzzz: 3\n", `a.yaml:2: unknown key "zzzzz" in inner; known are key`},
		{"unexported field", "hidden: x\n", `unknown key "hidden"`},
		{"twice", "name: x\nname: y\n", "a.yaml:2: name is given twice, first on line 1"},
		{"number for text", "name: 1.0\n", "a.yaml:1: name: expected text, found 1.0, which YAML takes for something else: put it into quotes"},
		{"text for number", "count: three\n", `a.yaml:1: count: expected a whole number, found "three"`},
		{"text for bool", "on: yes please\n", `a.yaml:1: on: expected true or false, found "yes please"`},
		{"list for text", "name: [x]\n", "a.yaml:1: name: expected a single value, found a list (- item)"},
		{"text for list", "items: x\n", "a.yaml:1: items: expected a list (- item), found a single value"},
		{"text for mapping", "inner: x\n", "a.yaml:1: inner: expected a mapping (key: value), found a single value"},
		{"list at the top", "- name\n", "a.yaml:1: the file: expected a mapping (key: value), found a list (- item)"},
		{"short form", "items:\n- bad\n", "a.yaml:2: items[0]: expected something good"},
		{"text form", "upper: ''\n", "a.yaml:1: upper: expected a word"},
		{"anchor", "name: &a x\nupper: *a\n", "a.yaml:2: upper: anchors and aliases are not used here"},
		{"tag", "name: !!binary eA==\n", "a.yaml:1: name: tags such as !!binary are not used here"},
		{"second document", "name: x\n---\nname: y\n", "a.yaml:2: expected one document, found a second one"},
		{"syntax", "name: x\n bad\n- y: [\n", "a.yaml:"},
		{"key", "[a]: x\n", "a.yaml:1: the file: expected a plain word as key"},
		{"all at once", "nam: x\ncount: y\n", "count: expected a whole number"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Decode("a.yaml", []byte(c.data), &document{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("expected %q, found %v", c.want, err)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	cases := []struct {
		word  string
		known []string
		want  string
	}{
		{"nmae", []string{"name", "version"}, `; did you mean "name"?`},
		{"Version", []string{"name", "version"}, `; did you mean "version"?`},
		{"architecture", []string{"architectures", "specs"}, `; did you mean "architectures"?`},
		{"xyzzy", []string{"name", "dist"}, "; known are dist, name"},
		{"xyzzy", nil, ""},
	}
	for _, c := range cases {
		if got := Nearest(c.word, c.known); got != c.want {
			t.Errorf("%s: expected %q, found %q", c.word, c.want, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("name: x\nitems: [a, {path: b}]\ngroups: {a: [b]}\n"))
	f.Add([]byte("? [a]\n: &x *x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, err := Decode("a.yaml", data, &document{})
		if (lines == nil) != (err != nil) {
			t.Fatalf("expected lines or an error, found %v and %v", lines, err)
		}
	})
}
