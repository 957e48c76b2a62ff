package farmtest

import (
	"fmt"
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
func (p *phrase) rollout() func(*World) {
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

// human does what somebody asks of a healer that runs.
func (h *Healer) human(what string, do func(*healer.Memory) error) {
	if h.mem == nil {
		h.note("%s: no healer runs", what)
		return
	}
	h.said(what, do(h.mem))
	h.commit("human")
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
		d.add(&defect{kind: "missing", slot: boardsPerDragon - 1, since: d.at})
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
	for _, does := range d.flashed {
		if does != "good" {
			return true
		}
	}
	return false
}

// firmware: I13. What a dragon is sent, and which dragon it is.
func (o *Oracle) firmware(h *Healer, d *Dragon, s *sent, sends *healer.FirmwareRelease, what string) {
	if s.Kind != healer.Upgrade {
		return
	}
	switch {
	case sends == nil || !strings.HasPrefix(s.Actor, "rollout:f"):
		o.fail("I13 %s outside a rollout", what)
		return
	case built(sends.Version) <= built(d.firmwareBefore):
		o.fail("I13 %s from %s to %s", what, d.firmwareBefore, sends.Version)
	}
	if len(d.wrong()) > 0 || h.taken[d.N] {
		o.fail("I13 %s, which is not well", what)
	}
	if hottest := d.hottestBoard(); hottest >= 91 {
		o.fail("I13 %s, which is at %.0f °C", what, hottest)
	}
	if d.memory <= 2*imageSize {
		o.fail("I13 %s, which has no memory for it", what)
	}
	if at, aborted := o.aborted[s.Actor]; aborted && s.At > at {
		o.fail("I12 %s %s after its rollout was aborted", what, s.At-at)
	}
	young := 0
	for _, x := range o.sent {
		if x.Kind == healer.Upgrade && s.At-x.At < flashing {
			young++
		}
	}
	if young >= 2 {
		o.fail("I13 %s, and %d others are being flashed", what, young)
	}
}

func built(version string) string {
	parts := strings.Split(version, "_")
	return strings.Join(parts[max(0, len(parts)-2):], "")
}

func (d *Dragon) hottestBoard() float64 {
	hottest := 0.0
	for i := range d.boards {
		hottest = max(hottest, d.boards[i].temp)
	}
	return hottest
}

// silence: I12. Who was sent firmware, and is gone, is called so by the deadline; who
// shows the new version's faults is called so by the last deadline.
func (o *Oracle) silence(h *Healer) {
	if h.Plan == nil || h.Plan.Wall != o.w.instant().Wall {
		return
	}
	for i := range h.Plan.Firmware {
		ro := &h.Plan.Firmware[i]
		actor := "rollout:" + ro.ID
		if _, known := o.aborted[actor]; ro.State == healer.FirmwareAborted && !known {
			o.aborted[actor] = o.w.Now
		}
		for j := range ro.Dragons {
			u := &ro.Dragons[j]
			n := o.dragon(u.MAC)
			if n < 0 || u.Phase == healer.UpgradeFailed || u.Phase == healer.UpgradeInconclusive {
				continue
			}
			d := o.w.Dragons[n]
			since := max(d.goneAt, h.Starts[len(h.Starts)-1])
			if d.gone && o.w.Now-since > 24*time.Minute {
				o.fail("I12 %s is gone for %s, and is called %s", u.Worker, o.w.Now-d.goneAt, u.Phase)
			}
			if u.Phase == healer.UpgradeDone && d.spoilt() {
				o.fail("I12 %s is called %s, and the firmware has spoilt it: %s", u.Worker, u.Phase, fmt.Sprint(d.flashed))
			}
		}
	}
}
