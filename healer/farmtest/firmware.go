package farmtest

import (
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

const (
	flashing   = 2 * time.Minute
	memoryFree = 150e6
	imageSize  = 40e6
	errorsPer  = 1e-15 // hardware errors per hash
)

// rollout reads what happens to the firmware of the farm:
//
//	firmware start t1_20191101_120000 good|bricks|bricks-next-boot|slow|wrong|loses-board|ignored|errors|hot [on d3]
//	firmware pause|resume|abort f1
//
// With on, only those dragons suffer from the image; it is good for the others.
func (p *command) rollout() func(*World) {
	switch verb := p.oneOf("start", "pause", "resume", "abort"); verb {
	case "start":
		version := p.word()
		does := p.oneOf("good", "bricks", "bricks-next-boot", "slow", "wrong", "loses-board", "ignored", "errors", "hot")
		var only []int
		if p.next("on") {
			only = p.dragons()
		}
		return func(w *World) {
			w.images[version] = image{does, only}
			w.healer.human("firmware start "+version, func(m *healer.Memory) error {
				_, err := m.StartFirmware(w.instant(), healer.FirmwareRequest{Owner: "ann", Reason: "a test", Release: healer.FirmwareRelease{
					Version: version, Model: w.script.Model, SHA256: strings.Repeat("a", 64), Size: imageSize,
				}})
				return err
			})
		}
	default:
		id := p.word()
		return func(w *World) {
			w.healer.human("firmware "+verb+" "+id, func(m *healer.Memory) error {
				return map[string]func(healer.Instant, string, string) error{
					"pause": m.PauseFirmware, "resume": m.ResumeFirmware, "abort": m.AbortFirmware,
				}[verb](w.instant(), id, "ann says so")
			})
		}
	}
}

// human does what someone asks of a healer that runs, and reports whether that could be
// done.
func (h *Healer) human(what string, do func(*healer.Memory) error) bool {
	if h.mem == nil {
		h.note("%s: no healer runs", what)
		return false
	}
	err := do(h.mem)
	h.said(what, err)
	h.commit("human")
	return err == nil
}

// image is what a firmware does to dragons.
type image struct {
	does string
	only []int // nil: to all of them
}

// flash is what becomes of an image that a dragon has taken.
func (d *Dragon) flash(version string, by string) {
	x := d.world.images[version]
	does := x.does
	if x.only != nil && !slices.Contains(x.only, d.N) {
		does = "good"
	}
	if d.phase == off || does == "ignored" {
		return
	}
	if does == "hot" && d.heated > 0 && d.at < d.heated+day { // what it is compared with is of a hot day, too
		does = "good"
	}
	d.flashed = append(d.flashed, does)
	if does != "wrong" {
		d.firmware = version
	}
	d.worse = 1
	switch does {
	case "bricks":
		d.gone, d.goneAt = true, d.at
	case "slow":
		for i := range d.boards {
			d.add(&defect{kind: "slow", slot: i, since: d.at, factor: 0.9})
		}
	case "loses-board":
		last := boardsPerDragon - 1
		for last > 0 && d.boards[last].none {
			last--
		}
		d.add(&defect{kind: "missing", slot: last, since: d.at})
	case "errors":
		d.worse = 5
	case "hot":
		d.soak += 8
	}
	d.reboot(by)
	d.bricksNext = does == "bricks-next-boot"
}

// spoilt reports whether a firmware has done a dragon harm.
func (d *Dragon) spoilt() bool {
	return slices.ContainsFunc(d.flashed, func(does string) bool { return does != "good" })
}

func (d *Dragon) hottestBoard() float64 {
	hottest := 0.0
	for i := range d.boards {
		hottest = max(hottest, d.boards[i].temp)
	}
	return hottest
}
