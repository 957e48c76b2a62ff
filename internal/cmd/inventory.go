package cmd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

// knownDragon is one dragon of inventory --output=json.
type knownDragon struct {
	Worker    string `json:"worker"`
	Address   string `json:"address"`
	MAC       string `json:"mac"`
	Brand     string `json:"brand"`
	Model     string `json:"model"`
	HWVersion string `json:"hw_version,omitempty"`
	Firmware  string `json:"firmware"`
	Site      string `json:"site,omitempty"`

	Name   string            `json:"name,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`

	FirstSeen *time.Time `json:"first_seen,omitempty"`
	LastSeen  *time.Time `json:"last_seen,omitempty"`
	Gone      bool       `json:"gone,omitempty"` // another dragon has its address
	Conflict  bool       `json:"conflict,omitempty"`
}

func addInventory(p *cli.Program) {
	cmd := p.Command("inventory", "List the known dragons, or change which are known. Nothing is sent to them.")
	f := &inventoryFamily{Program: p, data: config.RegisterData(cmd)}
	f.from.Register(cmd)
	list := cmd.Command("list", "List the known dragons. They are those of the data directory, which a running instance keeps up to date, "+
		"or of an instance elsewhere.").Default()
	p.Add(list, f.list)
	f.addChanges(cmd)
}

// inventoryFamily is the command inventory with the flags of all subcommands.
type inventoryFamily struct {
	*cli.Program
	data func() (*config.InstanceData, error)
	from cli.InstanceFlags
}

func (f *inventoryFamily) list(ctx context.Context, stdout, stderr io.Writer) error {
	known, err := inventoryOf(ctx, f.data, f.from.URL)
	if err != nil {
		return err
	}
	head, named := []string{"WORKER", "ADDRESS", "MAC", "BRAND", "MODEL", "HARDWARE", "FIRMWARE", "SITE", "LAST SEEN"}, !f.from.Table()
	for _, d := range known {
		named = named || d.Name != "" || len(d.Labels) > 0
	}
	if named {
		head = append(head, "NAME", "LABELS")
	}
	table := cli.Table{Head: head}
	for _, d := range known {
		var seen time.Time
		if d.LastSeen != nil {
			seen = *d.LastSeen
		}
		address := d.Address
		if d.Gone {
			address = "gone"
		}
		row := []string{d.Worker, address, d.MAC, d.Brand, d.Model, d.HWVersion, d.Firmware, d.Site, f.Time(seen)}
		if named {
			row = append(row, d.Name, labelText(d.Labels))
		}
		table.Add(row...)
	}
	if err := f.from.Write(stdout, &table, known); err != nil {
		return err
	}
	return f.missing(ctx, stderr)
}

// missing lists what an instance has found and not let in. Without an instance, nothing is known of that.
func (f *inventoryFamily) missing(ctx context.Context, w io.Writer) error {
	instance, err := f.from.Connect(f.data)
	if err != nil {
		return err
	}
	var d web.DiscoveryAnswer
	if instance.Call(ctx, http.MethodGet, "/api/v1/discovery", nil, &d) != nil {
		return nil //nolint:nilerr // an instance that does not answer is not an error here
	}
	if n := len(d.Locked); n > 0 {
		fmt.Fprintf(w, "\nfound, not let in: %s\n", counted(n+d.LockedMore, "dragon refuses our credentials", "dragons refuse our credentials"))
		table := cli.Table{Head: []string{"ADDRESS", "BRAND", "REASON", "SINCE"}}
		for _, l := range d.Locked {
			table.Add(l.Address, l.Brand, l.Reason, f.Time(l.Since))
		}
		if err := table.Write(w); err != nil {
			return err
		}
	}
	if d.Waits > 0 {
		fmt.Fprintf(w, "\n%s; take them in with: inventory accept --all\n", counted(d.Waits, "new dragon waits", "new dragons wait"))
		table := cli.Table{Head: []string{"ADDRESS", "MAC", "MODEL", "SINCE"}}
		for _, x := range d.Waiting {
			table.Add(x.Address, x.MAC, x.Model, f.Time(x.Since))
		}
		return table.Write(w)
	}
	return nil
}

func inventoryOf(ctx context.Context, data func() (*config.InstanceData, error), url string) ([]knownDragon, error) {
	known := []knownDragon{} // an empty list is [], not null
	if url != "" {
		// Service discovery needs no permission and has what is needed here.
		var groups []struct {
			Targets []string
			Labels  map[string]string
		}
		if err := cli.Connect(url, "").Call(ctx, http.MethodGet, "/sd", nil, &groups); err != nil {
			return nil, err
		}
		for _, g := range groups {
			label := func(name string) string { return g.Labels["__meta_dragon_"+name] }
			known = append(known, knownDragon{
				Worker: label("worker"), Address: strings.Join(g.Targets, " "), MAC: label("mac"), Brand: label("brand"),
				Model: label("model"), Firmware: label("firmware"), Site: label("site"), Name: label("name"), Labels: labelsIn(g.Labels),
			})
		}
		return known, nil
	}
	instance, err := data()
	if err != nil {
		return nil, err
	}
	infos, err := fleet.Remembered(instance.Dir, instance.Sites.Of)
	if err != nil {
		return nil, fmt.Errorf("%w (name the data directory with --data-dir or --config.file, or an instance with --url)", err)
	}
	labels := labelsOf(ctx, instance)
	for _, i := range infos {
		name, pairs := labels(i.MAC)
		known = append(known, knownDragon{
			Worker: i.Worker, Address: i.Address, MAC: i.MAC, Brand: string(i.Brand), Model: i.Model, HWVersion: i.HWVersion, Firmware: i.Firmware, Site: i.Site,
			FirstSeen: &i.FirstSeen, LastSeen: &i.LastSeen, Gone: i.IP == "", Conflict: i.Conflict,
			Name: name, Labels: pairs,
		})
	}
	return known, nil
}

func labelsIn(group map[string]string) map[string]string {
	labels := make(map[string]string)
	for name, value := range group {
		if label, ok := strings.CutPrefix(name, "__meta_dragon_label_"); ok {
			labels[label] = value
		}
	}
	return labels
}

// labelsOf returns the names and labels that the running instance has, or else its
// configuration file.
func labelsOf(ctx context.Context, instance *config.InstanceData) func(mac string) (string, map[string]string) {
	type named struct {
		MAC, Name string
		Labels    map[string]string
	}
	var answer struct{ Dragons []named }
	if cli.Connect("", instance.Dir).Call(ctx, http.MethodGet, "/api/v1/dragons", nil, &answer) != nil {
		return func(mac string) (string, map[string]string) {
			if l := instance.Labels(mac); l != nil {
				return l.Name, l.Map()
			}
			return "", nil
		}
	}
	byMAC := make(map[string]named, len(answer.Dragons))
	for _, d := range answer.Dragons {
		byMAC[d.MAC] = d
	}
	return func(mac string) (string, map[string]string) { return byMAC[mac].Name, byMAC[mac].Labels }
}
