package web

import (
	"maps"
	"slices"
)

// labelChoice is a label of the fleet with its values, for the filter of the page.
type labelChoice struct {
	Name   string
	Values []string
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
