package collector

import (
	"errors"
	"fmt"
	"net/url"
)

// A selection is the part of the page that a scrape asks for.
type selection struct {
	program  bool // the program's own metrics
	dragons  bool // whether dragons are read at all
	families []*family
}

// selected reads the parameters collect[] and exclude[], as in node_exporter. Names are
// those of active Switches, dragons for all series of dragons, and program for the
// program's own. Any series of dragons include the health series.
func (c *Collector) selected(query url.Values) (selection, error) {
	collect, exclude := query["collect[]"], query["exclude[]"]
	switch {
	case len(collect) > 0 && len(exclude) > 0:
		return selection{}, errors.New("collect[] and exclude[] cannot be combined")
	case len(collect) == 0 && len(exclude) == 0:
		return selection{true, true, c.families}, nil
	}
	named := map[string]bool{"program": false, "dragons": false}
	choice := map[string]bool{}
	for _, p := range parts() {
		if p.Name != "" && p.isOn(c.Switches) {
			named[p.Name] = false
		} else {
			choice[p.Name] = false
		}
	}
	for _, name := range append(collect, exclude...) {
		if _, ok := named[name]; !ok {
			return selection{}, fmt.Errorf("%q cannot be selected: there is no such collector, or it is off", name)
		}
		named[name] = true
	}

	wanted := len(collect) > 0 // what is named; else what is not
	s := selection{program: named["program"] == wanted}
	if named["dragons"] {
		if wanted {
			s.dragons, s.families = true, c.families
		}
		return s, nil
	}
	s.dragons = !wanted
	for name, is := range named {
		choice[name] = is == wanted
		s.dragons = s.dragons || choice[name] && name != "program" && name != "dragons"
	}
	if s.dragons {
		s.families = compile(chosen(choice))
	}
	return s, nil
}
