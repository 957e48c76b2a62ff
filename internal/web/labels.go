package web

import (
	"cmp"
	"slices"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// labelChoice is a label of the fleet with its values, for the filter of the page.
type labelChoice struct {
	Name   string
	Values []string
}

// labelsOf are the labels of a dragon as the API has them.
func labelsOf(l *fleet.Labels) map[string]string {
	if l == nil || len(l.Pairs) == 0 {
		return nil
	}
	m := make(map[string]string, len(l.Pairs))
	for _, p := range l.Pairs {
		m[p.Name] = p.Value
	}
	return m
}

// hasLabel reports whether a dragon has a label, as in rack=a12.
func (a *DragonAnswer) hasLabel(label string) bool {
	name, value, _ := strings.Cut(label, "=")
	return value != "" && a.Labels[name] == value
}

// addLabels collects the labels of a dragon.
func addLabels(to map[string]map[string]bool, a *DragonAnswer) {
	for name, value := range a.Labels {
		if to[name] == nil {
			to[name] = make(map[string]bool)
		}
		to[name][value] = true
	}
}

func labelChoices(seen map[string]map[string]bool) []labelChoice {
	var list []labelChoice
	for name, values := range seen {
		list = append(list, labelChoice{name, names(values)})
	}
	slices.SortFunc(list, func(a, b labelChoice) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
