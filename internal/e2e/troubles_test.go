package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// trouble is what one of the 200 dragons has.
type trouble struct {
	fault dragontest.Fault
	cure  dragontest.Cure
	with  []dragontest.Fault // besides
}

func (x trouble) String() string { return fmt.Sprintf("%s cure=%d with=%v", x.fault, x.cure, x.with) }

// everyTrouble has each fault once without a cure, and each fault of the mining once for
// the restart and once for the reboot that cures it.
func everyTrouble() (all []trouble) {
	// The healer tries no restart or reboot for these: the sensor lies, the
	// room is hot, the pool is dead.
	untreated := []dragontest.Fault{dragontest.BogusTemperature, dragontest.Overheat, dragontest.PoolDead, dragontest.HardwareErrors}
	for _, f := range dragontest.Faults() {
		switch {
		case f.Fault == dragontest.DeadBoardHot: // no heat is rebooted away
			all = append(all, trouble{fault: f.Fault}, trouble{fault: f.Fault, cure: dragontest.CuredByRestart})
		case f.Class == dragontest.OfMining && !slices.Contains(untreated, f.Fault):
			all = append(all, trouble{fault: f.Fault}, trouble{fault: f.Fault, cure: dragontest.CuredByRestart},
				trouble{fault: f.Fault, cure: dragontest.CuredByReboot})
		case strings.HasPrefix(string(f.Fault), "reboot-") && f.Fault != dragontest.RebootLoop:
			all = append(all, trouble{fault: dragontest.DeadBoard, cure: dragontest.CuredByReboot, with: []dragontest.Fault{f.Fault}})
		default:
			all = append(all, trouble{fault: f.Fault})
		}
	}
	return all
}

// TestEveryTroubleAtOnce gives dragons of a farm of 200 every fault there is within a
// day, for the simulated time that E2E_TROUBLES says: each dragon that a restart or a
// reboot cures gets well, none that is well is written to, and of each of the rest there
// is a reason to read.
func TestEveryTroubleAtOnce(t *testing.T) {
	lasting, err := time.ParseDuration(os.Getenv("E2E_TROUBLES"))
	if err != nil {
		t.Skip("E2E_TROUBLES=30h has it run that long; make soak does")
	}
	const count = 200
	speed := 240.
	if s, err := strconv.ParseFloat(os.Getenv("E2E_SPEED"), 64); err == nil {
		speed = s
	}
	w := newFarm(t, count, speed, shipped, "--dragon-health-reboot", "--dragon-timeout=2")
	all := everyTrouble()
	sick := make(map[int]trouble)
	since := w.now()
	for k, x := range all {
		i := k * count / len(all)
		sick[i] = x
		var options []dragontest.FaultOption
		if x.cure != dragontest.NoCure {
			options = append(options, dragontest.CuredBy(x.cure))
		}
		for _, f := range x.with {
			w.dragons.Dragon(i).Inject(f)
		}
		w.dragons.Dragon(i).Inject(x.fault, options...)
	}
	t.Logf("%d of %d dragons are sick", len(sick), count)
	left := func() (left []int) {
		for i, x := range sick {
			stays := slices.Contains(x.with, dragontest.RebootIgnored) || slices.Contains(x.with, dragontest.RebootNeverReturns)
			if x.cure != dragontest.NoCure && !stays && slices.Contains(w.dragons.Dragon(i).ActiveFaults(), x.fault) {
				left = append(left, i)
			}
		}
		return left
	}
	for hour := time.Hour; hour <= lasting; hour += time.Hour {
		w.live(since.Add(hour).Sub(w.now()))
		t.Logf("after %v %d that a restart or reboot cures are left, %d writes", hour, len(left()), len(w.writes()))
	}
	for _, i := range left() {
		t.Errorf("after %v %s still has %v", lasting, w.worker(i), sick[i])
	}
	page := get(t, w.base+"/metrics")
	for i, d := range w.dragons.Dragons() {
		x, isSick := sick[i]
		quarantined := valueIn(t, page, fmt.Sprintf("mother_healer_device_state{state=%q,worker=%q}", healer.StateQuarantined, w.worker(i))) == 1
		up := valueIn(t, page, fmt.Sprintf("dragon_up{worker=%q}", w.worker(i)))
		if isSick {
			t.Logf("%s: %v: %d writes, has %v, quarantined %v, up %v", w.worker(i), x, len(d.Writes()), d.ActiveFaults(), quarantined, up)
		}
		switch {
		case !isSick && len(d.Writes()) > 0:
			t.Errorf("%s is healthy and was written to %d times", w.worker(i), len(d.Writes()))
		case slices.Contains(d.ActiveFaults(), x.fault) && !quarantined && raised[x.fault] == "" && !harmless[x.fault]:
			t.Errorf("%s has %v, is not quarantined, and no alert is for that", w.worker(i), x)
		}
	}
	w.p.stop(t)
}

// harmless are the faults with which a dragon is read and mines all the same.
var harmless = map[dragontest.Fault]bool{
	dragontest.DuplicateBoards: true, dragontest.HostileLabels: true, dragontest.InvalidUTF8: true, dragontest.NumbersAsStrings: true,
	dragontest.PHPArrays: true, dragontest.Slow: true, dragontest.HardwareErrors: true, dragontest.WrongClock: true,
}
