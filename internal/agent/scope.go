package agent

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hbollon/go-edlib"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// ErrUnknownScope says that no dragon is in the part of the fleet that a request names.
var ErrUnknownScope = errors.New("no known dragon")

// checkScope brings the scope of a pause into its one form. It refuses a value that no
// dragon has, unless forced: a typing error would pause nothing without a word.
func (h *Healer) checkScope(r *healer.PauseRequest) error {
	switch r.Scope {
	case "site":
		r.Scope = "domain"
	case "worker":
		r.Scope = "mac"
	}
	if r.Scope == "mac" {
		mac, err := h.macOf(r.Value)
		if err != nil {
			workers := make(map[string]bool)
			for _, d := range h.mem.Dragons {
				workers[d.Who.Worker] = true
			}
			return fmt.Errorf("%w%s", err, meant(r.Value, workers))
		}
		r.Value = mac
		return nil
	}
	if name, value, _ := strings.Cut(r.Value, "="); r.Scope == "label" && (name == "" || value == "") {
		return nil // which Memory.Pause refuses
	}
	known := h.scopeValues(r.Scope)
	if r.Value == "" || known == nil || known[r.Value] || r.Force {
		return nil
	}
	word := r.Scope
	if word == "domain" {
		word = "site"
	}
	return fmt.Errorf("%w has the %s %q%s", ErrUnknownScope, word, r.Value, meant(r.Value, known))
}

// scopeValues are those that dragons have; nil where any will do, or before the first look.
func (h *Healer) scopeValues(scope string) map[string]bool {
	if h.view == nil {
		return nil
	}
	known := make(map[string]bool)
	for _, d := range h.view.Dragons {
		switch scope {
		case "label":
			for name, value := range d.Labels {
				known[name+"="+value] = true
			}
		case "domain":
			known[d.Domain] = true
		case "model":
			known[d.Model] = true
		case "firmware":
			known[d.Firmware] = true
		case "pool":
			for _, p := range d.Pools {
				known[p.URL] = true
			}
		default:
			return nil
		}
	}
	return known
}

// meant suggests what a mistyped value was meant to be.
func meant(wrong string, known map[string]bool) string {
	best, least := "", max(1, len(wrong)/2)+1
	for _, word := range slices.Sorted(maps.Keys(known)) {
		if d := edlib.OSADamerauLevenshteinDistance(strings.ToLower(wrong), strings.ToLower(word)); word != "" && d < least {
			best, least = word, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}
