package healer

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// The cold part of a dragon's record changes all the time and may be lost: after a kill it
// is some hours old, and the healer learns it again. It is written in turns, a slice of the
// fleet's dragons at a time, so that a calm farm hardly writes. What safety needs (intents,
// results, the ladder, quarantine) is in the hot part, which is written before anything is done.
const (
	coldPeriod = 8 * time.Hour // in which each cold record is written once, if it changed
	coldEvery  = anchorEvery   // so that a slice is written along with the fleet's record
)

// coldRecord is the cold part of a Record, in few bytes.
type coldRecord struct {
	LastSeen Moment    `json:"last_seen"`
	Observe  Moment    `json:"observe"` // that Samples count from
	Samples  int       `json:"samples"`
	Mode     string    `json:"mode,omitempty"`  // of the baseline, as all that follows
	Slots    []float64 `json:"slots,omitempty"` // GH/s
	Value    float64   `json:"value,omitempty"` // GH/s
	At       Moment    `json:"at,omitempty"`
}

const giga = 1e9

func coldOf(r *Record) coldRecord {
	b := &r.Baseline
	c := coldRecord{r.LastSeen, r.Observe, r.Samples, b.Mode, make([]float64, len(b.Slots)), shortened(b.Value / giga), b.At}
	for i, v := range b.Slots {
		c.Slots[i] = shortened(v / giga)
	}
	return c
}

// shortened removes what dividing adds to a rounded number: 1.512e13/1e9 may have 17 digits.
func shortened(v float64) float64 {
	s, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 2*learnedDigit, 64), 64)
	if err != nil {
		return v
	}
	return s
}

// apply adds the cold part to a record. Samples count only as long as the same observation lasts.
func (c *coldRecord) apply(r *Record) {
	r.LastSeen = max(r.LastSeen, c.LastSeen)
	r.Baseline = Baseline{Mode: c.Mode, Value: rounded(c.Value * giga), At: c.At}
	for _, v := range c.Slots {
		r.Baseline.Slots = append(r.Baseline.Slots, rounded(v*giga))
	}
	if c.Observe == r.Observe {
		r.Samples = c.Samples
	}
}

// hotRecord encodes a record without its cold part.
func hotRecord(r *Record) ([]byte, error) {
	return json.Marshal(struct {
		*Record
		LastSeen *Moment   `json:"last_seen,omitempty"`
		Samples  *int      `json:"samples,omitempty"`
		Baseline *Baseline `json:"baseline,omitempty"`
	}{Record: r})
}

// chill marks the cold part of a dragon's record as changed.
func (m *Memory) chill(mac string) { m.cold[mac] = true }

// coldChanges adds the cold records that are to be written now: those of the slice whose
// turn it is, and those that were never written and whose hot record is.
func (m *Memory) coldChanges(c *Changes) error {
	var due []string
	for mac := range c.Dragons {
		if m.bare[mac] {
			due = append(due, mac)
		}
	}
	if m.run.allCold {
		due = append(due, sortedKeys(m.cold)...)
	}
	slice := int(time.Duration(m.run.time.moment)/coldEvery) % int(coldPeriod/coldEvery)
	if slice != m.run.slice && len(m.cold) > 0 {
		m.run.slice = slice
		macs := sortedKeys(m.Dragons) // neighbours in the file are written together
		n := int(coldPeriod / coldEvery)
		for _, mac := range macs[len(macs)*slice/n : len(macs)*(slice+1)/n] {
			if m.cold[mac] {
				due = append(due, mac)
			}
		}
	}
	for _, mac := range due {
		r := m.Dragons[mac]
		if r == nil {
			continue
		}
		data, err := json.Marshal(coldOf(r))
		if err != nil {
			return fmt.Errorf("healer's cold record of dragon %s: %w", mac, err)
		}
		if c.Cold == nil {
			c.Cold = make(map[string][]byte)
		}
		c.Cold[mac] = data
		delete(m.cold, mac)
		delete(m.bare, mac)
	}
	m.run.allCold = false
	return nil
}

// LoadCold adds the cold records, which may be older than the others. What is missing, or
// not understood, is left out.
func (m *Memory) LoadCold(records map[string][]byte) {
	for mac, data := range records {
		r := m.Dragons[mac]
		cold := coldRecord{}
		if r == nil || json.Unmarshal(data, &cold) != nil {
			continue
		}
		delete(m.bare, mac)
		cold.apply(r)
	}
}
