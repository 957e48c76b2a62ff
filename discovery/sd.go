package discovery

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// targetGroup is one element of Prometheus' HTTP service discovery format.
type targetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// SDHandler serves the known dragons as Prometheus HTTP service discovery, one target
// group for each, for scraping them one by one through /probe. Dragons that are down are
// included: their series say so. A dragon whose address another one has is named by its
// worker, because two targets with one address would be merged.
//
// With probe=1 in the query no relabelling is needed: each target is this program, with
// the labels that make Prometheus ask /probe for the dragon.
func SDHandler(f *fleet.Fleet) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		throughUs := r.URL.Query().Get("probe") == "1"
		groups := []targetGroup{} // an empty list is [], not null
		for _, d := range f.Dragons() {
			info := d.Info()
			target := info.Address
			if info.IP == "" {
				target = info.Worker
			}
			labels := map[string]string{
				"__meta_dragon_worker":   info.Worker,
				"__meta_dragon_mac":      info.MAC,
				"__meta_dragon_model":    info.Model,
				"__meta_dragon_brand":    string(info.Brand),
				"__meta_dragon_firmware": info.Firmware,
				"__meta_dragon_site":     info.Site,
			}
			if l := info.Labels; l != nil {
				labels["__meta_dragon_name"] = l.Name
				for _, p := range l.Pairs {
					labels["__meta_dragon_label_"+p.Name] = p.Value
				}
			}
			if throughUs {
				target = probeTarget(r, info.Worker, labels)
			}
			groups = append(groups, targetGroup{Targets: []string{target}, Labels: labels})
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		// This fails only if the client is gone.
		_ = json.NewEncoder(w).Encode(groups)
	})
}

// probeTarget adds the labels of a scrape through /probe, and returns the address of this
// program as the client wrote it.
func probeTarget(r *http.Request, worker string, labels map[string]string) string {
	labels["__param_target"] = worker
	labels["__metrics_path__"] = strings.TrimSuffix(r.URL.Path, "/sd") + "/probe"
	labels["instance"] = worker
	if r.TLS != nil {
		labels["__scheme__"] = "https"
	}
	return r.Host
}
