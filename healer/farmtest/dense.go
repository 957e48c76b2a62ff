package farmtest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Dense writes a script of a farm of at most so many dragons, in which faults come one
// upon the other, and some stay. Half of the farms are crowded with events, the others
// have few and are left alone with what stays.
func Dense(seed uint64, most int) string {
	r := rand.New(rand.NewPCG(seed, 8))
	n := min(most, farmSize(seed, r.IntN(len(farmSizes))))
	days := 7
	switch {
	case n >= 300:
		days = 1
	case n > 30:
		days = 3
	}
	g := &denseScript{r: r, n: n, switches: 1 + r.IntN(min(n, 8)), pdus: 1 + r.IntN(3), minutes: days * 24 * 60, pools: []string{"slush"}}
	if n >= 60 {
		g.switches = n/24 + 1
	}
	if r.IntN(2) == 0 {
		g.pools = append(g.pools, "backup")
	}
	g.settings(days)
	events, lasting := 4+r.IntN(16), 3 // of four
	if r.IntN(2) == 0 {
		events, lasting = (40+r.IntN(160))*days/7, 1
	}
	for range events {
		if r.IntN(4) < lasting {
			g.event(g.stays())
		} else {
			g.event(fault(r, n, g.switches, g.pdus, g.pools))
		}
	}
	return g.b.String()
}

// farmSizes are the sizes of dense farms.
var farmSizes = []int{3, 3, 4, 5, 5, 6, 8, 8, 10, 10, 12, 12, 15, 15, 20, 20, 30, 30, 60, 100, 300, 1000}

// farmSize is one of the sizes. Farms of hundreds take long, so most of those are small
// after all: of 2,000, some 90 have 60 dragons, 55 have 100, 20 have 300 and 9 have 1,000.
func farmSize(seed uint64, i int) int {
	rare := map[int]int{100: 2, 300: 3, 1000: 10}
	n := farmSizes[i]
	if r := rand.New(rand.NewPCG(seed, 9)); rare[n] > 0 && r.IntN(rare[n]) > 0 {
		return farmSizes[r.IntN(len(farmSizes)-4)]
	}
	return n
}

// denseScript is a script of Dense while it is written.
type denseScript struct {
	r                 *rand.Rand
	n, switches, pdus int
	minutes           int // that it runs
	pools             []string
	b                 strings.Builder
}

func (g *denseScript) settings(days int) {
	r, b := g.r, &g.b
	fmt.Fprintf(b, "farm %d\nswitches %d\npdus %d\nseed %d\nrun %dh\npools %s\nbaselines learned\n",
		g.n, g.switches, g.pdus, r.IntN(1000), 24*days, strings.Join(g.pools, " "))
	if r.IntN(3) == 0 {
		fmt.Fprintf(b, "tune %dm..%dm\n", r.IntN(30), 30+r.IntN(200))
	}
	if r.IntN(3) == 0 {
		b.WriteString("domains subnets\n")
	}
	if r.IntN(4) == 0 {
		fmt.Fprintf(b, "built %s 2\n", g.dragon())
	}
	if r.IntN(4) == 0 {
		b.WriteString("policy soaks 1h\n")
		g.event("firmware start t1_20191101_120000 " + g.pick("good", "good", "bricks", "slow", "wrong", "loses-board", "ignored"))
	}
	if r.IntN(4) == 0 {
		g.event("wish all pools slush")
	}
}

func (g *denseScript) event(what string) {
	for one := range strings.SplitSeq(what, ";") {
		fmt.Fprintf(&g.b, "at %s %s\n", minutes(g.r, 10, g.minutes), one)
	}
}

func (g *denseScript) pick(options ...string) string { return options[g.r.IntN(len(options))] }

func (g *denseScript) dragon() string { return fmt.Sprintf("d%d", g.r.IntN(g.n)) }

// some are a dragon, or a part of them.
func (g *denseScript) some() string {
	if g.r.IntN(3) > 0 {
		return g.dragon()
	}
	return g.pick("5%", "10%", "20%", "30%")
}

// stays is a fault that lasts until a write of the healer ends it, or forever.
func (g *denseScript) stays() string {
	r, d := g.r, g.dragon()
	board := func(who string) string { return fmt.Sprintf("board %s/%d ", who, r.IntN(boardsPerDragon)) }
	cure := g.pick("", "", " restart=1", " reboot=1", " reboot=1", " restart=0.5 reboot=0.9")
	switch r.IntN(22) {
	case 0, 1, 2:
		return board(d) + "dead" + cure
	case 3:
		return board(g.some()) + "dead reboot=1"
	case 4:
		return board(d) + "missing" + cure
	case 5:
		return board(d) + g.pick("slow 5%", "slow 30%") + cure
	case 6:
		return board(d) + g.pick("frozen", "nan", "0", "150") + cure
	case 7:
		return board(d) + fmt.Sprintf("flaky %d", 1+r.IntN(4)) + cure
	case 8, 9:
		return "dragon " + d + " stops" + cure
	case 10:
		return "dragon " + d + " " + g.pick("freeze", "nopool", "tunes") + cure
	case 11:
		return "dragon " + g.some() + g.pick(" boots 10m later", " boots 25m later", " retunes 5h")
	case 12, 13, 14:
		return "web " + g.some() + " " + g.pick("401", "401", "garbage", "timeless", "timeless", "500", "hang", "sluggish", "stale", "truncated", "renamed")
	case 15:
		return "web all ok"
	case 16:
		return "answer " + d + " " + g.pick("refused", "ignored", "never", "lostreply")
	case 17:
		return "dragon " + g.some() + g.pick(" fans 100%", " fans 0%", " ok")
	case 18:
		return g.pick("clock healer 25h", "clock healer -14d", "ntp off", "ntp off;clock healer 25h;power healer off 5m", "ntp on")
	case 19:
		return g.pick("store corrupt", "store corrupt;ack recovered_state", "store backup;store restored", "kill healer for 2h", "power healer off 30m")
	case 20:
		return fmt.Sprintf("mac d%d d0", min(g.n-1, 1+r.IntN(g.n)))
	default:
		return g.pick("forget "+d, "offset "+d+" 3h", "switch sw0 down 30h", "pool slush down 30h", "release "+d, "dhcp shuffle 50%")
	}
}

// stamped is the time at which a failure happened, as its text says.
func stamped(failure string) (time.Duration, bool) {
	var d, h, m, s int
	if n, err := fmt.Sscanf(failure, "%dd%d:%d:%d", &d, &h, &m, &s); err != nil || n != 4 {
		return 0, false
	}
	return time.Duration(d*24+h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second, true
}
