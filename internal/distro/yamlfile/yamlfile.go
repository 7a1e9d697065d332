// Package yamlfile reads a YAML file into a Go value, strictly: an unknown key, a key given twice, a
// value of the wrong kind, an anchor are errors with file and line, all of them at once.
//
// It is a reader for files that people write by hand, and neither writes YAML nor knows what the
// values mean. Of YAML 1.2 it takes mappings, lists, plain values and comments; anchors, aliases,
// tags and several documents in one file are refused, as they hide what a value is.
package yamlfile

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Scalar is a type that also has a short form: where a single value stands instead of a mapping,
// FromScalar gets its text.
type Scalar interface{ FromScalar(text string) error }

// Lines says where in the file each value stands.
type Lines struct {
	file  string
	lines map[string]int
}

// Line is the line of the value at path, or of what encloses it; 0 if there is none.
func (l *Lines) Line(path string) int {
	for {
		if n, ok := l.lines[path]; ok {
			return n
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return 0
		}
		path = path[:i]
	}
}

// At is "FILE:LINE" of the value at path, say "stage0.packages[3]", or of what encloses it.
func (l *Lines) At(path string) string {
	if n := l.Line(path); n > 0 {
		return l.file + ":" + strconv.Itoa(n)
	}
	return l.file
}

// Refused are keys that a reader knows but does not carry out: by the mapping in which they stand, say "storage.disks[]"
// ("" is the file's own), their names. What they are called in an error is Why.
type Refused struct {
	Keys map[string][]string
	Why  string
}

// Decode reads data, the content of file, into the struct that into points to. Its fields are named by
// `yaml:"…"` tags; they are strings, ints, bools, types with UnmarshalText or Scalar, structs, slices,
// pointers and maps from string of these. Where a key has no value, the field keeps what it had.
func Decode(file string, data []byte, into any, refused ...Refused) (*Lines, error) {
	d := &decoder{Lines: Lines{file: file, lines: map[string]int{}}, refused: refused}
	docs := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc, second yaml.Node
	if err := docs.Decode(&doc); err != nil {
		if len(strings.TrimSpace(string(data))) == 0 || err.Error() == "EOF" {
			return nil, fmt.Errorf("%s: the file is empty", file)
		}
		return nil, syntax(file, err)
	}
	if err := docs.Decode(&second); err == nil {
		return nil, fmt.Errorf("%s:%d: expected one document, found a second one", file, second.Line)
	} else if err.Error() != "EOF" {
		return nil, syntax(file, err)
	}
	d.value(doc.Content[0], reflect.ValueOf(into).Elem(), "")
	if len(d.errs) > 0 {
		return nil, errors.Join(d.errs...)
	}
	return &d.Lines, nil
}

// syntax gives the parser's error our form: FILE:LINE: message.
func syntax(file string, err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := regexp.MustCompile(`^line (\d+): (?s:(.*))$`).FindStringSubmatch(text); m != nil {
		return fmt.Errorf("%s:%s: %s", file, m[1], m[2])
	}
	return fmt.Errorf("%s: %s", file, text)
}

type decoder struct {
	Lines
	refused []Refused
	errs    []error
}

func (d *decoder) errorf(n *yaml.Node, format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf("%s:%d: %s", d.file, n.Line, fmt.Sprintf(format, args...)))
}

// value sets v, which stands at path, from n.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	d.lines[path] = n.Line
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.errorf(n, "%s: anchors and aliases are not used here: write it out", called(path))
		return
	case n.Style&yaml.TaggedStyle != 0:
		d.errorf(n, "%s: tags such as %s are not used here", called(path), n.Tag)
		return
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if text, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if !d.is(n, yaml.ScalarNode, path) {
			return
		}
		if err := text.UnmarshalText([]byte(n.Value)); err != nil {
			d.errorf(n, "%s: %v", called(path), err)
		}
		return
	}
	if short, ok := v.Addr().Interface().(Scalar); ok && n.Kind == yaml.ScalarNode {
		if err := short.FromScalar(n.Value); err != nil {
			d.errorf(n, "%s: %v", called(path), err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if d.is(n, yaml.MappingNode, path) {
			d.structure(n, v, path)
		}
	case reflect.Map:
		if d.is(n, yaml.MappingNode, path) {
			d.mapping(n, v, path)
		}
	case reflect.Slice:
		if d.is(n, yaml.SequenceNode, path) {
			list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
			for i, item := range n.Content {
				d.value(item, list.Index(i), path+"["+strconv.Itoa(i)+"]")
			}
			v.Set(list)
		}
	default:
		if d.is(n, yaml.ScalarNode, path) {
			d.scalar(n, v, path)
		}
	}
}

// scalar sets a string, int or bool.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	switch {
	case v.Kind() == reflect.String && n.Tag == "!!str":
		v.SetString(n.Value)
	case v.Kind() == reflect.String:
		d.errorf(n, "%s: expected text, found %s, which YAML takes for something else: put it into quotes", called(path), n.Value)
	case v.Kind() == reflect.Bool && n.Tag == "!!bool":
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case v.Kind() == reflect.Bool:
		d.errorf(n, "%s: expected true or false, found %q", called(path), n.Value)
	default:
		number, err := strconv.Atoi(n.Value)
		if err != nil || n.Tag != "!!int" {
			d.errorf(n, "%s: expected a whole number, found %q", called(path), n.Value)
			return
		}
		v.SetInt(int64(number))
	}
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	fields, names := map[string]int{}, []string{}
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "" {
			fields[name] = i
			names = append(names, name)
		}
	}
	d.pairs(n, path, func(key, value *yaml.Node, full string) {
		i, ok := fields[key.Value]
		if why := d.refuses(path, key.Value); !ok && why != "" {
			d.errorf(key, "%s %s", full, why)
			return
		}
		if !ok {
			in := ""
			if path != "" {
				in = " in " + path
			}
			d.errorf(key, "unknown key %q%s%s", key.Value, in, Nearest(key.Value, names))
			return
		}
		d.value(value, v.Field(i), full)
	})
}

var index = regexp.MustCompile(`\[\d+\]`)

// refuses says why a key of the mapping at path is refused, "" if it is not.
func (d *decoder) refuses(path, key string) string {
	for _, r := range d.refused {
		if slices.Contains(r.Keys[index.ReplaceAllString(path, "[]")], key) {
			return r.Why
		}
	}
	return ""
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	m := reflect.MakeMap(v.Type())
	d.pairs(n, path, func(key, value *yaml.Node, full string) {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(value, item, full)
		m.SetMapIndex(reflect.ValueOf(key.Value), item)
	})
	v.Set(m)
}

// pairs calls do for each key and value of a mapping; a key's line is that of its value from then on.
func (d *decoder) pairs(n *yaml.Node, path string, do func(key, value *yaml.Node, full string)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Anchor != "" {
			d.errorf(key, "%s: expected a plain word as key", called(path))
			continue
		}
		full := strings.TrimPrefix(path+"."+key.Value, ".")
		if first, ok := seen[key.Value]; ok {
			d.errorf(key, "%s is given twice, first on line %d", full, first)
			continue
		}
		seen[key.Value] = key.Line
		do(key, value, full)
		d.lines[full] = key.Line
	}
}

// is says whether n is of the expected kind, and reports it if not.
func (d *decoder) is(n *yaml.Node, want yaml.Kind, path string) bool {
	if n.Kind != want {
		d.errorf(n, "%s: expected %s, found %s", called(path), kind(want), kind(n.Kind))
	}
	return n.Kind == want
}

func kind(k yaml.Kind) string {
	switch k {
	case yaml.MappingNode:
		return "a mapping (key: value)"
	case yaml.SequenceNode:
		return "a list (- item)"
	}
	return "a single value"
}

func called(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}
