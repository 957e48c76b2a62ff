package web

import (
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// csvColumns are the columns of the fleet as CSV, by the names of the JSON fields.
var csvColumns = []struct {
	name string
	of   func(*DragonAnswer) string
}{
	{"worker", func(a *DragonAnswer) string { return a.Worker }},
	{"mac", func(a *DragonAnswer) string { return a.MAC }},
	{"address", func(a *DragonAnswer) string { return a.Address }},
	{"brand", func(a *DragonAnswer) string { return a.Brand }},
	{"model", func(a *DragonAnswer) string { return a.Model }},
	{"algorithm", func(a *DragonAnswer) string { return a.Algorithm }},
	{"firmware", func(a *DragonAnswer) string { return a.Firmware }},
	{"hw_version", func(a *DragonAnswer) string { return a.HWVersion }},
	{"site", func(a *DragonAnswer) string { return a.Site }},
	{"profile", func(a *DragonAnswer) string { return a.Profile }},
	{"up", func(a *DragonAnswer) string { return strconv.FormatBool(a.Up) }},
	{"down_reason", func(a *DragonAnswer) string { return a.Down }},
	{"state", func(a *DragonAnswer) string { return string(a.State()) }},
	{"reason", func(a *DragonAnswer) string {
		if a.Healer == nil {
			return ""
		}
		return string(a.Healer.Reason)
	}},
	{"hashrate", func(a *DragonAnswer) string { return csvNumber(a.Hashrate) }},
	{"hashrate_expected", func(a *DragonAnswer) string { return csvNumber(a.Expected) }},
	{"temperature", func(a *DragonAnswer) string { return csvNumber(a.Temperature) }},
	{"fan_duty", func(a *DragonAnswer) string { return csvNumber(a.FanDuty) }},
	{"boards", func(a *DragonAnswer) string { return csvNumber(a.Boards) }},
	{"boards_alive", func(a *DragonAnswer) string { return csvNumber(a.BoardsAlive) }},
	{"boards_expected", func(a *DragonAnswer) string { return csvNumber(a.BoardsExpected) }},
	{"uptime_s", func(a *DragonAnswer) string { return csvNumber(a.Uptime) }},
	{"miner_uptime_s", func(a *DragonAnswer) string { return csvNumber(a.MinerUptime) }},
	{"pool", func(a *DragonAnswer) string { return a.Pool }},
	{"pool_user", func(a *DragonAnswer) string { return a.PoolUser }},
	{"read_at", func(a *DragonAnswer) string {
		if a.ReadAt == nil {
			return ""
		}
		return a.ReadAt.Format(time.RFC3339)
	}},
	{"first_seen", func(a *DragonAnswer) string { return a.FirstSeen.Format(time.RFC3339) }},
}

func csvNumber(n dragon.Number) string {
	v, known := n.Get()
	if !known {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// csvText keeps a spreadsheet from taking what a device says for a formula.
func csvText(s string) string {
	if strings.ContainsAny(s[:min(len(s), 1)], "=+-@\t\r") {
		if _, err := strconv.ParseFloat(s, 64); err != nil {
			return "'" + s
		}
	}
	return s
}

func writeCSV(w http.ResponseWriter, dragons []DragonAnswer) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	w.Header().Set("Content-Disposition", `attachment; filename="dragons.csv"`)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	out := csv.NewWriter(w)
	row := make([]string, len(csvColumns))
	for i, c := range csvColumns {
		row[i] = c.name
	}
	_ = out.Write(row)
	for i := range dragons {
		for j, c := range csvColumns {
			row[j] = csvText(c.of(&dragons[i]))
		}
		_ = out.Write(row)
	}
	out.Flush()
}
