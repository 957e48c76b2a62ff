package cmd

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
// that an operator meets. In the story, a restart of the miner process cures the first one.
var faults = []struct {
	fault dragontest.Fault
	text  string
}{
	{dragontest.DeadBoard, "a dead board"},
	{dragontest.LowHashrate, "40 % of its hash rate"},
	{dragontest.HostileLabels, "hostile, long values"},
	{dragontest.WrongPassword, "another password"},
	{dragontest.Hang, "accepts connections, never answers"},
	{dragontest.Overheat, "too hot"},
}

// faultsAfter leaves time to find the dragons while all of them can identify themselves.
const faultsAfter = 5 * time.Second

// demoPort is the port of the simulated dragons, if it is free.
const demoPort = 8101

type demo struct {
	*cli.Program
	dragons *dragontest.Fleet
	speed   float64
	dir     string // data directory
	web     app.WebFlags
	out     io.Writer
}

func addDemo(p *cli.Program) {
	cmd := p.Command("demo", "Run the program on simulated dragons on loopback addresses, and tell what happens.")
	d := &demo{Program: p}
	var count int
	config.Flag(cmd, "dragons", "How many dragons to simulate.", &count, config.Whole(1, 65000)).Default("24")
	config.Flag(cmd, "speed", "How many times faster than real ones the dragons and the healer run. At 60, a sick dragon is healed within a minute; "+
		"then a new one is configured and a pool outage waited out. At 1, the healer only observes.", &d.speed, config.ParseSpeed).Default("60")
	dir := cmd.Flag("data-dir", "Data directory, removed at the end. The default is data in this directory, or a temporary one if data is in use.").
		NoEnvar().PlaceHolder("DIR").String()
	d.web.Register(cmd, "127.0.0.1:9977")
	cli.HideFlagsOf(p.GetCommand("run"), cmd, "web.listen-address")
	p.Add(cmd, func(ctx context.Context, stdout, _ io.Writer) error {
		d.out = stdout
		fleet := dragontest.FleetConfig{Count: count, Specs: demoSpecs(count, d.speed), Port: demoPort}
		var err error
		if d.dragons, err = dragontest.NewFleet(fleet); err != nil {
			fleet.Port = 0 // any that is free
			d.dragons, err = dragontest.NewFleet(fleet)
		}
		if err != nil {
			return err
		}
		defer d.dragons.Close()
		if d.dir, err = demoDir(*dir); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(d.dir) }()
		return d.run(ctx)
	})
}

func (d *demo) run(ctx context.Context) error {
	c, err := d.config()
	if err != nil {
		return err
	}
	// The log is in a file, so that the terminal shows what to open and what happens.
	log, err := os.OpenFile(filepath.Join(d.dir, "demo.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	var story sync.WaitGroup
	defer story.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	introduce := func(a net.Addr) { d.introduce(a) }
	if d.speed == 1 {
		defer time.AfterFunc(faultsAfter, func() { injectFaults(d.dragons, 0) }).Stop()
	} else {
		if i := newcomer(d.dragons.Len()); i > 0 {
			d.dragons.Dragon(i).PowerOff()
		}
		n := &narrator{dragons: d.dragons, speed: d.speed, dir: d.dir, out: d.out, start: time.Now()}
		introduce = func(a net.Addr) {
			d.introduce(a)
			story.Go(func() { n.tell(ctx) })
		}
	}
	var once sync.Once // it may listen on several addresses
	return app.Serve(ctx, c, nil, d.web, d.Logs.Logger(log), func(a net.Addr) {
		once.Do(func() { introduce(a) })
		if d.Listening != nil {
			d.Listening(a)
		}
	})
}

// demoMark is in a data directory that a demo made, which the next demo may remove. A real start
// takes it away, see keepData.
const demoMark = "made-by-the-demo"

// keepData makes a data directory one that no demo removes, also if a demo made it.
func keepData(dir string) error {
	mark := filepath.Join(dir, demoMark)
	if _, err := os.Lstat(mark); err != nil {
		return nil //nolint:nilerr // no mark; what is wrong with the directory is found elsewhere
	}
	return os.Remove(mark)
}

// demoLeft reports whether a directory is what a demo left that was killed, and nothing else
// has used it since. A demo keeps no inventory, and passwords, which a command may have written,
// must not be lost.
func demoLeft(dir string) bool {
	there := func(file string) bool {
		_, err := os.Lstat(filepath.Join(dir, file))
		return err == nil
	}
	return there(demoMark) && !there("inventory.json") && !there("passwords.yml") && !runs(dir)
}

// demoDir makes the data directory: the one that is named, or else data in this directory,
// where every command looks for it, unless another program uses it.
func demoDir(dir string) (string, error) {
	named := dir != ""
	if !named {
		dir = "data"
	}
	if demoLeft(dir) {
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
	}
	err := os.Mkdir(dir, 0o700)
	switch {
	case err == nil:
	case named:
		return "", fmt.Errorf("the data directory of the demo: %w", err)
	default:
		if dir, err = os.MkdirTemp("", "mother-of-dragons-demo-"); err != nil {
			return "", err
		}
	}
	return dir, os.WriteFile(filepath.Join(dir, demoMark), nil, 0o600)
}

// runs reports whether an instance uses a data directory.
func runs(dir string) bool {
	c, err := (&net.Dialer{}).DialContext(context.Background(), "unix", filepath.Join(dir, config.ControlSocket))
	if err == nil {
		_ = c.Close()
	}
	return err == nil
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

// demoFile is the configuration file of the demo: the sick dragons have names that say
// what is wrong with them. At speed, the healer acts on a new dragon after a quarter of an
// hour rather than an hour. A T1 does not report its power, so the file has a figure.
func (d *demo) demoFile() string {
	var b strings.Builder
	if d.speed != 1 {
		b.WriteString("healing: {new_device_observe: 15m}\n")
	}
	b.WriteString("power: [{model: T1, watts: 1480}, {model: T1, mode: efficient, watts: 1210}]\n")
	for i, text := range d.sick() {
		if i == 0 {
			b.WriteString("dragons:\n")
		}
		fmt.Fprintf(&b, "  - {mac: %q, name: %q}\n", d.dragons.Dragon(i+1).Spec().MAC, text)
	}
	return b.String()
}

// config returns the configuration of the demo: observing, or healing if it is fast.
func (d *demo) config() (*config.Config, error) {
	file := filepath.Join(d.dir, "demo.yml")
	if err := os.WriteFile(file, []byte(d.demoFile()), 0o600); err != nil {
		return nil, err
	}
	args := []string{
		"--config.file=" + file, "--data-dir=" + d.dir, "--inventory-file=", "--dragon-timeout=3",
		"--dragon-port=" + strconv.Itoa(int(d.dragons.Port())),
	}
	for _, n := range d.dragons.Networks() {
		args = append(args, "--network="+n.String())
	}
	if d.speed == 1 {
		args = append(args, "--scan-interval=60")
	} else {
		interval := max(2*time.Second, time.Duration(float64(time.Minute)/d.speed))
		args = append(args, fmt.Sprintf("--scan-interval=%v", interval), fmt.Sprintf("--simulation.speed=%g", d.speed),
			"--dragon-health-reboot", "--pools="+demoPools)
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

// sickOf is how many of so many dragons get a fault: too many at once are a storm, in which
// the healer waits.
func sickOf(count int) int { return min(len(faults), count/4) }

// sick says what is wrong with the sick dragons, from the second dragon on.
func (d *demo) sick() (texts []string) {
	for _, f := range faults[:sickOf(d.dragons.Len())] {
		texts = append(texts, f.text)
	}
	return texts
}

func injectFaults(dragons *dragontest.Fleet, from int) {
	for i, f := range faults[:sickOf(dragons.Len())] {
		if i >= from {
			dragons.Dragon(i + 1).Inject(f.fault)
		}
	}
}

// introduce says what there is to see. Every command works as it is printed.
func (d *demo) introduce(address net.Addr) {
	base := "http://" + address.String()
	program := os.Args[0]
	if filepath.Base(program) != cli.Name {
		program = cli.Name
	}
	data := ""
	if d.dir != "data" {
		data = " --data-dir=" + d.dir
	}
	first := dragon.WorkerName(d.dragons.Dragon(min(1, d.dragons.Len()-1)).Spec().MAC)
	faster := ""
	if d.speed != 1 {
		faster = fmt.Sprintf(", %g times faster than real ones", d.speed)
	}
	fmt.Fprintf(d.out, `
%[1]d simulated dragons%[2]s.

Open  %[3]s/
          the fleet; those that need attention come first
      %[3]s/healer
          what the healer does, and why
      %[3]s/dragon?worker=%[4]s
          one dragon
Try   %[5]s plan%[6]s
      %[5]s plan%[6]s --why=%[4]s
      %[5]s inventory%[6]s
      %[5]s audit%[6]s
      %[5]s dragon summary%[6]s %[4]s
      %[5]s scan %[7]v:%[8]d
      curl -s %[3]s/metrics | grep -E '^dragon_(info|up|board_up)\{.*%[4]s'
`, d.dragons.Len(), faster, base, first, program, data, d.dragons.Networks()[0], d.dragons.Port())
	for i, text := range d.sick() {
		head := ""
		if i == 0 {
			head = "Sick"
		}
		fmt.Fprintf(d.out, "%-5s %s  %s\n", head, dragon.WorkerName(d.dragons.Dragon(i+1).Spec().MAC), text)
	}
	fmt.Fprintf(d.out, "Log   %s\nStop  Ctrl-C\n\n", filepath.Join(d.dir, "demo.log"))
}
