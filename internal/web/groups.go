package web

import (
	"cmp"
	"slices"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// GroupAnswer is the sum of the dragons of one group.
type GroupAnswer struct {
	Name        string        `json:"name"` // empty: the dragons without a value
	Dragons     int           `json:"dragons"`
	Up          int           `json:"up"`
	Trouble     int           `json:"trouble"`   // dragons that need attention
	Algorithm   string        `json:"algorithm"` // empty if there are several
	Hashrate    dragon.Number `json:"hashrate"`  // null if there are several algorithms
	Temperature dragon.Number `json:"temperature"`
}

// groupings are the properties, beside the labels, that the fleet can be grouped by.
var groupings = []string{"model", "site", "firmware", "profile", "pool", "state"}

// groupedBy is the value by which a dragon is grouped: a property, else a label.
func (a *DragonAnswer) groupedBy(name string) string {
	switch name {
	case "site":
		return a.Site
	case "model":
		return a.Model
	case "firmware":
		return a.Firmware
	case "profile":
		return a.Profile
	case "pool":
		return a.Pool
	case "state":
		return string(a.State())
	}
	return a.Labels[name]
}

// groupDragons sorts dragons by group, those without a value last, and sums each group up.
func groupDragons(dragons []*DragonAnswer, by string) []GroupAnswer {
	slices.SortStableFunc(dragons, func(a, b *DragonAnswer) int {
		x, y := a.groupedBy(by), b.groupedBy(by)
		if (x == "") != (y == "") {
			return cmp.Compare(y, x)
		}
		return cmp.Compare(x, y)
	})
	var list []GroupAnswer
	for i, a := range dragons {
		name := a.groupedBy(by)
		if i == 0 || list[len(list)-1].Name != name {
			list = append(list, GroupAnswer{Name: name, Algorithm: cmp.Or(a.Algorithm, "unknown")})
		}
		list[len(list)-1].add(a)
	}
	return list
}

func (g *GroupAnswer) add(a *DragonAnswer) {
	g.Dragons++
	if a.Up {
		g.Up++
	}
	if a.needsALook() {
		g.Trouble++
	}
	if g.Algorithm != cmp.Or(a.Algorithm, "unknown") {
		g.Algorithm, g.Hashrate = "", dragon.Number{}
	}
	if rate, known := a.Hashrate.Get(); known && g.Algorithm != "" {
		g.Hashrate = dragon.Known(g.Hashrate.Or(0) + rate)
	}
	if t, known := a.Temperature.Get(); known && t >= g.Temperature.Or(t) {
		g.Temperature = a.Temperature
	}
}

// Heading is the group that begins with dragon i of the page; nil: none does.
func (p *fleetPage) Heading(i int) *GroupAnswer {
	by := p.Query.Group
	if by == "" || i > 0 && p.Dragons[i].groupedBy(by) == p.Dragons[i-1].groupedBy(by) {
		return nil
	}
	name := p.Dragons[i].groupedBy(by)
	at := slices.IndexFunc(p.Groups, func(g GroupAnswer) bool { return g.Name == name })
	return &p.Groups[at]
}

// Groupings are what the page can be grouped by.
func (p *fleetPage) Groupings() []string {
	var list []string
	for _, l := range p.Labels {
		list = append(list, l.Name)
	}
	return append(list, groupings...)
}
