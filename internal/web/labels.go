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

// group is the dragons that have the same value of what the page is grouped by.
type group struct {
	Value           string // empty: those without one
	Count, Troubled int
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

// groupedBy is the value by which a dragon is grouped: a label, the site or the model.
func (a *DragonAnswer) groupedBy(name string) string {
	switch name {
	case "site":
		return a.Site
	case "model":
		return a.Model
	}
	return a.Labels[name]
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

// groupDragons sorts dragons by group, those without a value last, and counts each group.
func groupDragons(dragons []*DragonAnswer, by string) map[string]*group {
	groups := make(map[string]*group)
	for _, a := range dragons {
		value := a.groupedBy(by)
		g := groups[value]
		if g == nil {
			g = &group{Value: value}
			groups[value] = g
		}
		g.Count++
		if a.needsALook() {
			g.Troubled++
		}
	}
	slices.SortStableFunc(dragons, func(a, b *DragonAnswer) int {
		x, y := a.groupedBy(by), b.groupedBy(by)
		if (x == "") != (y == "") {
			return cmp.Compare(y, x)
		}
		return cmp.Compare(x, y)
	})
	return groups
}

// Heading is the group that begins with dragon i of the page; nil: none does.
func (p *fleetPage) Heading(i int) *group {
	by := p.Query.Group
	if by == "" || i > 0 && p.Dragons[i].groupedBy(by) == p.Dragons[i-1].groupedBy(by) {
		return nil
	}
	return p.groups[p.Dragons[i].groupedBy(by)]
}

// Groups are what the page can be grouped by.
func (p *fleetPage) Groups() []string {
	var list []string
	for _, l := range p.Labels {
		list = append(list, l.Name)
	}
	return append(list, "model", "site")
}
