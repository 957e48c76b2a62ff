package fleet

import (
	"slices"
	"strings"
	"sync"
)

// Labels are what the operator says of a dragon: its name, and labels such as its rack. A
// value is shared and never changes. Nil has nothing.
type Labels struct {
	Name  string
	Pairs []Label // without empty values, in the order of their declaration

	mapped sync.Once
	byName map[string]string
}

// Label is a label with its value.
type Label struct{ Name, Value string }

// Map returns the labels by name; nil where there are none. It is made once: do not change it.
func (l *Labels) Map() map[string]string {
	if l == nil || len(l.Pairs) == 0 {
		return nil
	}
	l.mapped.Do(func() {
		l.byName = make(map[string]string, len(l.Pairs))
		for _, p := range l.Pairs {
			l.byName[p.Name] = p.Value
		}
	})
	return l.byName
}

// String is all of it in words, as in: Bertha, rack a12, slot 3.
func (l *Labels) String() string {
	if l == nil {
		return ""
	}
	var words []string
	if l.Name != "" {
		words = append(words, l.Name)
	}
	for _, p := range l.Pairs {
		words = append(words, p.Name+" "+p.Value)
	}
	return strings.Join(words, ", ")
}

func (l *Labels) equal(o *Labels) bool {
	return l == o || l != nil && o != nil && l.Name == o.Name && slices.Equal(l.Pairs, o.Pairs)
}

// findLabels has Config.Labels asked for the dragon. Equal labels keep their pointer, so that
// a reload does not make a new Info.
func (d *Dragon) findLabels(i *Info) {
	if d.fleet.config.Labels == nil {
		return
	}
	if labels := d.fleet.config.Labels(d.mac); !labels.equal(i.Labels) {
		i.Labels = labels
	}
}
