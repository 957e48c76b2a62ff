package config

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// Print is the configuration in force as a file with every key. Passwords are masked; apart from
// them, the file gives the same configuration when it is read.
func (c *Config) Print() ([]byte, error) {
	p := printer{c.read, filepath.Dir(c.File)}
	root := p.node("", reflect.ValueOf(&c.Settings).Elem())
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return nil, fmt.Errorf("the configuration in force: %w", err)
	}
	return b.Bytes(), nil
}

// Beside lists the flags that are given and have no key in the file.
func (c *Config) Beside() []string { return c.beside }

// printer is the reader's counterpart.
type printer struct {
	read *reader
	dir  string // of the file
}

// node is a value in YAML; nil: nothing is printed.
func (p *printer) node(path string, v reflect.Value) *yaml.Node {
	switch {
	case isScalar(v.Type()):
		return p.scalar(path, v)
	case v.Kind() == reflect.Slice:
		return p.list(path, v)
	case v.Kind() == reflect.Map:
		return p.texts(v)
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	if v.Type() == reflect.TypeFor[healer.Evidence]() {
		n.Style = yaml.FlowStyle
	}
	for i := range v.NumField() {
		key := keyOf(v.Type().Field(i))
		if key == "" {
			continue
		}
		at := join(path, key)
		// An item of a list has no defaults.
		if strings.Contains(path, "[") && !p.read.has(at) && v.Field(i).IsZero() {
			continue
		}
		if value := p.node(at, v.Field(i)); value != nil {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, value)
		}
	}
	if len(n.Content) == 0 {
		return nil
	}
	return n
}

func (p *printer) texts(v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	for _, name := range slices.Sorted(maps.Keys(v.Interface().(map[string]string))) {
		value := v.MapIndex(reflect.ValueOf(name)).String()
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value})
	}
	return n
}

func (p *printer) list(path string, v reflect.Value) *yaml.Node {
	// An empty list of scalars is not its default.
	if v.Len() == 0 && (strings.Contains(path, "[") || !isScalar(v.Type().Elem())) {
		return nil
	}
	n := &yaml.Node{Kind: yaml.SequenceNode}
	if isScalar(v.Type().Elem()) {
		n.Style = yaml.FlowStyle
	}
	for i := range v.Len() {
		if item := p.node(fmt.Sprintf("%s[%d]", path, i), v.Index(i)); item != nil {
			n.Content = append(n.Content, item)
		}
	}
	return n
}

func (p *printer) scalar(path string, v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: show(path, v)}
	if kinds[v.Type()].name == "string" {
		n.Tag = "!!str" // for the encoder to quote it where necessary
	}
	if strings.HasSuffix(path, "_file") && n.Value != "" && !filepath.IsAbs(n.Value) {
		if p.read.has(path) {
			n.Value = filepath.Join(p.dir, n.Value)
		}
		if abs, err := filepath.Abs(n.Value); err == nil { // the printed file may be in another directory
			n.Value = abs
		}
	}
	return n
}
