package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// PoolSet is a list of desired pools and the dragons that it is for.
type PoolSet struct {
	MACs  []string     // normalised; empty: every dragon that no other set names
	Pools []WantedPool // by ID, at most three
}

// WantedPool is a pool of a PoolSet and its position. The dragon's worker name is added to User.
type WantedPool struct {
	ID int
	dragon.PoolConfig
}

// ParsePools reads the Python tool's --pools:
//
//	[{"mac_addresses": [], "pools": [{"id": 0, "url": "stratum+tcp://…", "username": "…", "password": "…"}]}]
//
// It is strict, because a device silently drops a pool with an empty field and goes on mining
// elsewhere. An error names the place in the list and never contains a password.
func ParsePools(s string) ([]PoolSet, error) {
	var raw []struct {
		MACs  []string `json:"mac_addresses"`
		Pools []struct {
			ID       *int   `json:"id"`
			URL      string `json:"url"`
			Username string `json:"username"`
			Password string `json:"password"`
		} `json:"pools"`
	}
	d := json.NewDecoder(strings.NewReader(s))
	d.DisallowUnknownFields()
	if err := d.Decode(&raw); err != nil {
		return nil, jsonError(s, d.InputOffset(), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("unexpected text after the JSON list at byte %d", d.InputOffset())
	}
	if len(raw) == 0 {
		return nil, errors.New("the list is empty; leave the option out to leave the pools as they are")
	}
	var sets []PoolSet
	owner := map[string]int{} // MAC → the set that names it; "" is the set for all others
	for i, r := range raw {
		var set PoolSet
		macs := r.MACs
		if len(macs) == 0 {
			macs = []string{""}
		}
		for _, m := range macs {
			var mac string
			if len(r.MACs) > 0 {
				var ok bool
				if mac, ok = dragon.ParseMAC(m); !ok {
					return nil, fmt.Errorf("[%d].mac_addresses: %q is not a MAC: want 12 hex digits like a0:b0:45:00:00:01", i, m)
				}
				set.MACs = append(set.MACs, mac)
			}
			if other, taken := owner[mac]; taken {
				who := mac
				if who == "" {
					who = "every other dragon"
				}
				return nil, fmt.Errorf("[%d]: %s already has pools in [%d]", i, who, other)
			}
			owner[mac] = i
		}
		if len(r.Pools) == 0 || len(r.Pools) > 3 {
			return nil, fmt.Errorf("[%d].pools: %d pools: want 1 to 3", i, len(r.Pools))
		}
		for j, p := range r.Pools {
			at := func(format string, args ...any) error {
				return fmt.Errorf("[%d].pools[%d]"+format, append([]any{i, j}, args...)...)
			}
			id := j
			if p.ID != nil {
				id = *p.ID
			}
			switch {
			case id < 0 || id > 2:
				return nil, at(".id: %d: want 0, 1 or 2", id)
			case slices.ContainsFunc(set.Pools, func(o WantedPool) bool { return o.ID == id }):
				return nil, at(".id: %d is a duplicate", id)
			}
			pool := dragon.PoolConfig{URL: p.URL, User: p.Username, Password: dragon.Secret(p.Password)}
			if err := pool.Validate(); err != nil {
				return nil, at(": %w", err)
			}
			set.Pools = append(set.Pools, WantedPool{ID: id, PoolConfig: pool})
		}
		slices.SortFunc(set.Pools, func(a, b WantedPool) int { return a.ID - b.ID })
		sets = append(sets, set)
	}
	return sets, nil
}

// jsonError adds line and column to an error of encoding/json, which has a byte offset at most.
func jsonError(s string, offset int64, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset - 1 // it includes the wrong letter
	case errors.Is(err, io.ErrUnexpectedEOF):
		offset, err = int64(len(s)), errors.New("unexpected end")
	case errors.As(err, &kind):
		// Its own text quotes the value, which may be a password.
		offset, err = kind.Offset, fmt.Errorf("%s: want %s, not %s", kind.Field, kind.Type, kind.Value)
	}
	before := []byte(s)[:min(max(offset, 0), int64(len(s)))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Errorf("invalid JSON list: line %d, column %d: %w", line, column, err)
}
