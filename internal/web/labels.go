package web

import (
	"maps"
	"slices"
	"strings"
)

// labelChoice is a label of the fleet with its values, for the filter of the page.
type labelChoice struct {
	Name   string
	Values []string
}

// hasLabel reports whether a dragon has a label, as in rack=a12.
func (a *DragonAnswer) hasLabel(label string) bool {
	name, value, _ := strings.Cut(label, "=")
	return value != "" && a.Labels[name] == value
}

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
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		list = append(list, labelChoice{name, names(seen[name])})
	}
	return list
}
