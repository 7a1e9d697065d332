package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// later are keys of the Image Customizer's vocabulary that this version does not carry out: they are
// refused by name instead of being called unknown.
func later() map[string][]string {
	return map[string][]string{
		"":                      {"input", "iso", "pxe", "scripts", "previewFeatures", "baseConfigs"},
		"storage":               {"resetPartitionsUuidsType", "verity", "reinitializeVerity"},
		"storage.filesystems[]": {"btrfs"},
		"os":                    {"selinux", "additionalDirs", "groups", "users", "modules", "overlays", "uki", "imageHistory"},
		"os.packages":           {"updateExistingPackages", "installLists", "remove", "removeLists", "update", "updateLists", "snapshotTime", "removePackageManager"},
		"os.bootloader":         {"resetType"},
		"output":                {"artifacts", "selinuxPolicyPath"},
		"output.image":          {"path", "cosi"},
	}
}

// walker compares a YAML document with a Go type: unknown keys, keys given twice, a list where a
// mapping belongs. It notes on which line every value stands.
type walker struct {
	file  string
	lines map[string]int
	later map[string][]string
	errs  []error
}

func (w *walker) errorf(line int, format string, args ...any) {
	w.errs = append(w.errs, fmt.Errorf("%s:%d: %s", w.file, line, fmt.Sprintf(format, args...)))
}

// walk visits node, which is to become a value of type t; path is what a message calls it, kind the
// same without list indices.
func (w *walker) walk(node *yaml.Node, t reflect.Type, path, kind string) {
	w.lines[path] = node.Line
	if node.Kind == yaml.AliasNode || node.Anchor != "" {
		w.errorf(node.Line, "anchors and aliases are not used here: write %s out", called(path))
		return
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	own := reflect.PointerTo(t).Implements(reflect.TypeFor[yaml.Unmarshaler]())
	want := yaml.ScalarNode
	switch {
	case own && node.Kind == yaml.ScalarNode:
	case t.Kind() == reflect.Struct || t.Kind() == reflect.Map:
		want = yaml.MappingNode
	case t.Kind() == reflect.Slice:
		want = yaml.SequenceNode
	}
	if node.Kind != want {
		if node.Tag == "!!null" {
			return // "packages:" with nothing below
		}
		w.errorf(node.Line, "%s is %s, expected %s", called(path), kindName(node.Kind), kindName(want))
		return
	}
	switch {
	case want == yaml.ScalarNode:
		w.scalar(node, t, own, path)
	case want == yaml.SequenceNode:
		for i, n := range node.Content {
			w.walk(n, t.Elem(), path+"["+strconv.Itoa(i)+"]", kind+"[]")
		}
	default:
		w.mapping(node, t, path, kind)
	}
}

// scalar tries the value alone, so that the error names its line.
func (w *walker) scalar(node *yaml.Node, t reflect.Type, own bool, path string) {
	if !own && t.Kind() == reflect.String {
		if node.Tag != "!!str" && node.Tag != "!!null" {
			w.errorf(node.Line, "%s is %s, expected text: put it into quotes", called(path), node.Value)
		}
		return
	}
	if err := node.Decode(reflect.New(t).Interface()); err != nil {
		text := strings.TrimPrefix(err.Error(), "yaml: ")
		if !own {
			text = fmt.Sprintf("%q is no %s", node.Value, map[reflect.Kind]string{reflect.Int: "whole number", reflect.Bool: "true or false"}[t.Kind()])
		}
		w.errorf(node.Line, "%s: %s", called(path), text)
	}
}

func (w *walker) mapping(node *yaml.Node, t reflect.Type, path, kind string) {
	fields := map[string]reflect.Type{}
	var names []string
	if t.Kind() == reflect.Struct {
		for i := range t.NumField() {
			if name := t.Field(i).Tag.Get("yaml"); name != "" {
				fields[name] = t.Field(i).Type
				names = append(names, name)
			}
		}
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		full := strings.TrimPrefix(path+"."+key.Value, ".")
		if first, ok := seen[key.Value]; ok {
			w.errorf(key.Line, "%s is given twice, first on line %d", called(full), first)
			continue
		}
		seen[key.Value] = key.Line
		ft, ok := fields[key.Value]
		switch {
		case t.Kind() == reflect.Map:
			ft = t.Elem()
		case !ok && slices.Contains(w.later[kind], key.Value):
			w.errorf(key.Line, "%s is in the Image Customizer's vocabulary, but this version cannot do it yet: remove it", called(full))
			continue
		case !ok:
			w.errorf(key.Line, "unknown key %q%s%s", key.Value, below(path), suggest(key.Value, names))
			continue
		}
		w.walk(value, ft, full, strings.TrimPrefix(kind+"."+key.Value, "."))
		w.lines[full] = key.Line
	}
}

func called(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

func below(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

func kindName(k yaml.Kind) string {
	switch k {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a single value"
}

// suggest names the known key nearest to what was written, if one is near, else all of them.
func suggest(key string, known []string) string {
	best, at := "", 3
	for _, k := range known {
		if d := distance(strings.ToLower(key), strings.ToLower(k)); d < at {
			best, at = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	sorted := slices.Sorted(slices.Values(known))
	return "; known are " + strings.Join(sorted, ", ")
}

// distance counts the letters to insert, delete or replace to turn a into b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
