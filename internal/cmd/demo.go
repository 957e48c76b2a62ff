package cmd

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/app"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
)

// faults are the faults of the demo's dragons, from the second dragon on: one of each kind
// that an operator meets.
var faults = []struct {
	fault dragontest.Fault
	text  string
}{
	{dragontest.DeadBoard, "has a dead board"},
	{dragontest.WrongPassword, "rejects all passwords"},
	{dragontest.Hang, "accepts connections and does not answer"},
	{dragontest.Overheat, "runs hot"},
	{dragontest.LowHashrate, "hashes at 40 %"},
	{dragontest.HostileLabels, "sends hostile, long values"},
}

// faultsAfter leaves time to find the dragons while all of them can identify themselves.
const faultsAfter = 5 * time.Second

func addDemo(p *cli.Program) {
	cmd := p.Command("demo", "Run the program on simulated dragons on loopback addresses.")
	var count int
	config.Flag(cmd, "dragons", "How many dragons to simulate.", &count, config.Whole(1, 65000)).Default("24")
	var speed float64
	config.Flag(cmd, "speed", "How many times faster the dragons and the healer run, with a commentary: 60 shows a dragon healed, a new one "+
		"configured and a pool outage in three minutes.", &speed, config.ParseSpeed).Default("1")
	var web app.WebFlags
	web.Register(cmd, "127.0.0.1:9977")
	cli.HideFlagsOf(p.GetCommand("run"), cmd, "web.listen-address")
	p.Add(cmd, func(ctx context.Context, stdout, stderr io.Writer) error {
		dragons, err := dragontest.NewFleet(dragontest.FleetConfig{Count: count, Specs: demoSpecs(count, speed)})
		if err != nil {
			return err
		}
		defer dragons.Close()
		dir, err := os.MkdirTemp("", "mother-of-dragons-demo-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		c, err := demoConfig(dragons, dir, speed)
		if err != nil {
			return err
		}
		var story sync.WaitGroup
		defer story.Wait()
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		introduce := func(a net.Addr) { introduceDemo(stdout, a, dragons) }
		if speed == 1 {
			defer time.AfterFunc(faultsAfter, func() { injectFaults(dragons) }).Stop()
		} else {
			if i := newcomer(count); i > 0 {
				dragons.Dragon(i).PowerOff()
			}
			n := &narrator{dragons: dragons, speed: speed, dir: dir, out: stdout, start: time.Now()}
			introduce = func(a net.Addr) {
				n.introduce(a)
				story.Go(func() { n.tell(ctx) })
			}
		}
		var once sync.Once // it may listen on several addresses
		return app.Serve(ctx, c, nil, web, p.Logs.Logger(stderr), func(a net.Addr) {
			once.Do(func() { introduce(a) })
			if p.Listening != nil {
				p.Listening(a)
			}
		})
	})
}

// demoSpecs returns the dragons of the demo. Every fourth is of another model, in turn.
func demoSpecs(count int, speed float64) func(i int) dragontest.Spec {
	models, clock := dragontest.Models(), dragontest.SpedUp(speed)
	return func(i int) dragontest.Spec {
		spec := dragontest.Spec{Uptime: time.Duration(i*37+5) * time.Hour, Now: clock, Speed: speed}
		if i%4 == 3 {
			spec.Model = models[i/4%len(models)].Key
		}
		if speed != 1 && i == newcomer(count) {
			spec.Pools = dragontest.VendorPools() // fresh from the factory
		}
		return spec
	}
}

// demoConfig returns the configuration of the demo: observing, or healing if it is fast.
func demoConfig(dragons *dragontest.Fleet, dir string, speed float64) (*config.Config, error) {
	args := []string{"--data-dir=" + dir, "--inventory-file=", "--dragon-timeout=3", "--dragon-port=" + strconv.Itoa(int(dragons.Port()))}
	for _, n := range dragons.Networks() {
		args = append(args, "--network="+n.String())
	}
	if speed == 1 {
		args = append(args, "--scan-interval=60")
	} else {
		interval := max(2*time.Second, time.Duration(float64(time.Minute)/speed))
		args = append(args, fmt.Sprintf("--scan-interval=%v", interval), fmt.Sprintf("--simulation.speed=%g", speed), "--dragon-health-reboot", "--pools="+demoPools)
	}
	parser := kingpin.New("demo", "")
	load := config.Register(parser)
	if _, err := parser.Parse(args); err != nil {
		return nil, err
	}
	return load()
}

// demoPools are the pools of the demo's dragons, except the one that joins later.
const demoPools = `[{"pools": [
	{"id": 0, "url": "stratum+tcp://one.pool.example.com:3333", "username": "farm", "password": "x"},
	{"id": 1, "url": "stratum+tcp://two.pool.example.com:3333", "username": "farm", "password": "x"}]}]`

// newcomer is the dragon that joins later in the story; 0: there are too few dragons.
func newcomer(count int) int {
	if count < 4 {
		return 0
	}
	return count - 1
}

// injectFaults injects the faults.
func injectFaults(dragons *dragontest.Fleet) {
	for i, a := range faults[:min(len(faults), dragons.Len()-1)] {
		dragons.Dragon(i + 1).Inject(a.fault)
	}
}

// introduceDemo says what there is to see.
func introduceDemo(w io.Writer, address net.Addr, dragons *dragontest.Fleet) {
	base := "http://" + address.String()
	worker := func(i int) string { return dragon.WorkerName(dragons.Dragon(i).Spec().MAC) }
	fmt.Fprintf(w, "\n%d simulated dragons run on %v, port %d. In %v some get a fault:\n", dragons.Len(), dragons.Networks(), dragons.Port(), faultsAfter)
	for i, a := range faults[:min(len(faults), dragons.Len()-1)] {
		fmt.Fprintf(w, "  %s %s\n", worker(i+1), a.text)
	}
	fmt.Fprintf(w, `
Open
  %[1]s/
      pages: the fleet, the healer, each dragon
  %[1]s/metrics
      every dragon, read now
  %[1]s/probe?target=%[2]s
      one dragon; add &debug=true for its raw answers
  %[1]s/sd
      service discovery for Prometheus
Try
  curl -s %[1]s/metrics | grep '^dragon_up'
  curl -s %[1]s/metrics | grep dragon_board_temperature_celsius
  curl -s %[1]s/metrics | grep scrape_failures_total | grep -v ' 0$'
  mother-of-dragons scan --dragon-port=%[3]d %[4]v
  mother-of-dragons capture %[5]s
To see it in Grafana (docs/grafana.md), start Prometheus in the source directory:
  prometheus --config.file=examples/prometheus.yml --storage.tsdb.path=$(mktemp -d)
Stop with Ctrl-C.

`, base, worker(0), dragons.Port(), dragons.Networks()[0], dragons.Addr(0))
}
