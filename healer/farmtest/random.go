package farmtest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Random writes a script from a seed: a farm of some size, and some faults. It is
// text, so that a failing one can be read, kept and made smaller.
func Random(seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 4))
	n := []int{1, 2, 3, 5, 10, 12, 20, 30, 40}[r.IntN(9)]
	switches, pdus := 1+r.IntN(min(n, 6)), 1+r.IntN(2)
	hours := 12 + r.IntN(36)
	var b strings.Builder
	fmt.Fprintf(&b, "farm %d\nswitches %d\npdus %d\nseed %d\nrun %dh\n", n, switches, pdus, r.IntN(1000), hours)
	pools := []string{"slush"}
	if r.IntN(3) == 0 {
		pools = append(pools, "backup")
	}
	fmt.Fprintf(&b, "pools %s\n", strings.Join(pools, " "))
	if r.IntN(3) > 0 {
		b.WriteString("baselines learned\n")
	}
	if r.IntN(4) == 0 {
		fmt.Fprintf(&b, "tune %dm..%dm\n", r.IntN(30), 30+r.IntN(200))
	}
	if r.IntN(4) == 0 {
		b.WriteString("cycle 20s\n")
	}
	if r.IntN(5) == 0 {
		b.WriteString("domains subnets\n")
	}
	for range 1 + r.IntN(14) {
		fmt.Fprintf(&b, "at %s %s\n", minutes(r, 10, hours*60), fault(r, n, switches, pdus, pools))
	}
	return b.String()
}

// RandomFirmware is a script of Random with a rollout of firmware in it.
func RandomFirmware(seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 5))
	script := Random(seed)
	at := strings.Index(script, "at ")
	does := []string{"good", "good", "good", "bricks", "bricks-next-boot", "slow", "wrong", "loses-board", "ignored", "errors", "hot"}[r.IntN(11)]
	first := 10 + r.IntN(300)
	firmware := fmt.Sprintf("at %dm firmware start t1_20191101_120000 %s\n", first, does)
	if r.IntN(3) == 0 {
		firmware += fmt.Sprintf("at %dm firmware %s f1\n", first+r.IntN(600), []string{"pause", "abort"}[r.IntN(2)])
	}
	return script[:at] + "policy soaks 1h\n" + firmware + script[at:]
}

// RandomWishes is a script of Random in which the dragons are to be this and that, and
// other actors write too.
func RandomWishes(seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 6))
	script := Random(seed)
	at := strings.Index(script, "at ")
	var states strings.Builder
	for range 1 + r.IntN(3) {
		pools := []string{" pools slush", " pools typo,slush", " pools typo", " pools slush,typo", ""}[r.IntN(5)]
		mode := []string{"", " mode balanced", " mode efficient"}[r.IntN(3)]
		fmt.Fprintf(&states, "at %s wish %s%s%s\n", minutes(r, 0, 600), []string{"all", "all", "d0", "50%"}[r.IntN(4)], pools, mode)
	}
	for range r.IntN(4) {
		fmt.Fprintf(&states, "at %s stranger configures %s\n", minutes(r, 60, 900), []string{"d0", "10%"}[r.IntN(2)])
	}
	return script[:at] + states.String() + script[at:]
}

func minutes(r *rand.Rand, from, to int) string {
	return (time.Duration(from+r.IntN(to-from)) * time.Minute).String()
}

// fault is something that can happen, more often what happens more often.
func fault(r *rand.Rand, n, switches, pdus int, pools []string) string {
	d := func() string { return fmt.Sprintf("d%d", r.IntN(n)) }
	some := func() string {
		if r.IntN(2) == 0 {
			return d()
		}
		return fmt.Sprintf("%d%%", []int{5, 10, 20, 30, 50, 100}[r.IntN(6)])
	}
	span := func() string { return minutes(r, 1, 240) }
	cure := func() string {
		return []string{"", " restart=1", " restart=0.5 reboot=0.9", " reboot=1", " reboot=0.3"}[r.IntN(5)]
	}
	board := func(who string) string { return fmt.Sprintf("board %s/%d ", who, r.IntN(boardsPerDragon)) }
	pick := func(options ...string) string { return options[r.IntN(len(options))] }
	switch r.IntN(34) {
	case 0, 1, 2, 3, 4:
		return board(d()) + "dead" + cure()
	case 5:
		return board(some()) + "dead" + cure()
	case 6:
		return board(d()) + "missing" + cure()
	case 7:
		return board(d()) + "slow 5%" + cure()
	case 8:
		return board(d()) + "late " + minutes(r, 1, 20)
	case 9:
		return board(d()) + pick("frozen", "nan", "0", "150") + cure()
	case 10:
		return board(d()) + fmt.Sprintf("flaky %d", 1+r.IntN(6)) + cure()
	case 11:
		return "dragon " + d() + " " + pick("freeze", "nopool", "tunes") + cure()
	case 12:
		return "dragon " + some() + " " + pick("restarts", "reboots")
	case 13:
		return "dragon " + some() + " hot " + pick("10", "20", "30", "45") + " " + span()
	case 14:
		return "dragon " + d() + " ok"
	case 15, 16:
		return "pool " + pools[r.IntN(len(pools))] + " " + pick("down", "idle") + " " + span()
	case 17:
		return fmt.Sprintf("switch sw%d down %s", r.IntN(switches), span())
	case 18:
		return "power " + pick("site", fmt.Sprintf("pdu%d", r.IntN(pdus))) + " off " + minutes(r, 1, 10)
	case 19:
		return "gateway down " + span()
	case 20:
		return "weather " + pick("10", "20", "30", "-20") + " " + span()
	case 21:
		return "web " + some() + " " + pick("slow", "sluggish", "hang", "500", "401", "garbage", "truncated", "renamed") + " " + span()
	case 22:
		return "answer " + some() + " " + pick("ignored", "never 0.5", "never", "lostreply", "refused", "ok")
	case 23:
		return "dhcp shuffle " + pick("20%", "50%", "all")
	case 24:
		return "dhcp swap " + d() + " " + d() + pick("", " on send")
	case 25:
		// d0 keeps its own: who tells another's MAC, alone, is that other.
		return fmt.Sprintf("mac d%d %s", min(n-1, 1+r.IntN(n)), pick("d0", "zero", "own"))
	case 26:
		return "stranger " + pick("restarts", "reboots") + " " + some() + pick("", " every 20m "+span())
	case 27:
		return "clock healer " + pick("-14d", "14d", "-1h", "1h", "-40s")
	case 28, 29:
		return "kill healer" + pick("", " at wal=intent", " at wal=sent", " at wal=result") + pick("", " for 10m", " for 2h")
	case 30:
		return pick("store readonly "+span(), "store corrupt", "owner lost "+span(), "power healer off 5m")
	case 31:
		return pick("pause fleet", "pause mac "+d(), "maintenance mac "+d(), "pause domain sw0") + " " + span()
	case 32:
		return pick("stop file "+span(), "quarantine "+d(), "release "+d(), "ack harm", "forget 60% "+span(), "uplink down "+span())
	}
	return "ask " + d() + " " + pick("restart", "reboot", "configure") + pick("", " by rollout:x", " force", " until sent")
}
