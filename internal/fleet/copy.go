package fleet

import (
	"bytes"
	"encoding/json"
)

// copyEntry is a dragon in the original tool's dragon-inventory.json: a list of
// these, keys sorted, indented by two.
type copyEntry struct {
	IP       string `json:"ip_address"` // empty where another dragon lives there now
	MAC      string `json:"mac_address"`
	Overview any    `json:"overview"` // the device's whole answer; null until it was read
	Worker   string `json:"worker"`
}

func (d *Dragon) copyEntry(r record) copyEntry {
	e := copyEntry{IP: d.Info().IP, MAC: r.MAC, Worker: d.Info().Worker}
	decoder := json.NewDecoder(bytes.NewReader(r.Overview))
	decoder.UseNumber() // the device's figures as it wrote them
	if decoder.Decode(&e.Overview) != nil {
		e.Overview = nil
	}
	return e
}
