package perf

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// A fleet lives in processes of its own, so that what is measured of the program is the
// program's. Each has a /16 of loopback and at most so many dragons: a process here
// may have some twenty thousand files open, and a dragon takes two of its fleet.
const (
	fleetVariable = "PERF_FLEET" // count,prefix,port: this process is a fleet
	fleetAtMost   = 5000
	answersAfter  = 5 * time.Millisecond // every dragon
)

// count is what a fleet has counted since it was asked to forget.
type count struct{ Requests, Summaries, Connections, Logins int }

// beFleet is the other end of a fleetProcess: it answers questions on its standard
// input, and ends with it.
func beFleet(config string) error {
	part := strings.Split(config, ",")
	n, err := strconv.Atoi(part[0])
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(part[2], 10, 16)
	if err != nil {
		return err
	}
	prefix := netip.MustParsePrefix(part[1])
	specs := func(i int) dragontest.Spec { // no two processes have a MAC in common
		return dragontest.Spec{Seed: uint64(prefix.Addr().As4()[1])<<16 + uint64(i) + 1, Uptime: 73*time.Hour + time.Duration(i%97)*41*time.Minute}
	}
	dragons, err := dragontest.NewFleet(dragontest.FleetConfig{Count: n, Prefix: prefix, Port: uint16(port), Specs: specs})
	if err != nil {
		return err
	}
	defer dragons.Close()
	for _, d := range dragons.Dragons() {
		d.Inject(dragontest.Slow, dragontest.Delay(answersAfter))
	}
	fmt.Println(dragons.Port(), dragons.Networks()[0])
	for questions := bufio.NewScanner(os.Stdin); questions.Scan(); {
		var c count
		word, arg, _ := strings.Cut(questions.Text(), " ")
		switch word {
		case "forget":
			for _, d := range dragons.Dragons() {
				d.ForgetTraffic()
			}
		case "hang": // one in so many
			every, err := strconv.Atoi(arg)
			if err != nil {
				return err
			}
			for i := 0; i < dragons.Len(); i += every {
				dragons.Dragon(i).Inject(dragontest.Hang)
			}
		case "count":
			for _, d := range dragons.Dragons() {
				t := d.Traffic()
				c.Requests += t.Total()
				c.Summaries += t.Requests["summary"]
				c.Connections += t.Connections
				c.Logins += t.Logins
			}
		default:
			return fmt.Errorf("a fleet does not know %q", word)
		}
		if err := json.NewEncoder(os.Stdout).Encode(c); err != nil {
			return err
		}
	}
	return nil
}

type fleetProcess struct {
	b   *testing.B
	in  *os.File
	out *bufio.Reader
}

// fleet is some dragons in processes of their own.
type dragons struct {
	parts    []*fleetProcess
	size     int
	networks []string
	port     string
	flags    []string // that point the program at it
}

func newFleet(b *testing.B, size int) *dragons { return newFleetAt(b, 90, size, "0") }

// newFleetAt is a fleet whose networks begin at 127.first.0.0/16; port 0 is any.
func newFleetAt(b *testing.B, first, size int, port string) *dragons {
	b.Helper()
	h := &dragons{size: size, port: port}
	for i := 0; i*fleetAtMost < size; i++ {
		n := min(fleetAtMost, size-i*fleetAtMost)
		p, said := startFleet(b, fmt.Sprintf("%d,127.%d.0.0/16,%s", n, first+i, h.port))
		var network string
		if _, err := fmt.Sscan(said, &h.port, &network); err != nil {
			b.Fatalf("fleet: %v: %q", err, said)
		}
		h.parts = append(h.parts, p)
		h.networks = append(h.networks, network)
		h.flags = append(h.flags, "--network="+network)
	}
	h.flags = append(h.flags, "--dragon-port="+h.port)
	return h
}

func startFleet(b *testing.B, config string) (*fleetProcess, string) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fleetVariable+"="+config)
	cmd.Stderr = os.Stderr
	in, ours, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd.Stdin = in
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	in.Close()
	b.Cleanup(func() {
		ours.Close()
		_ = cmd.Wait()
	})
	p := &fleetProcess{b, ours, bufio.NewReader(out)}
	return p, p.line()
}

func (p *fleetProcess) line() string {
	p.b.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.b.Fatalf("fleet: %v", err)
	}
	return line
}

// ask puts a question to all processes of the fleet, and adds up what they say.
func (h *dragons) ask(question string) (sum count) {
	for _, p := range h.parts {
		p.b.Helper()
		if _, err := fmt.Fprintln(p.in, question); err != nil {
			p.b.Fatalf("fleet: %v", err)
		}
		var c count
		if err := json.Unmarshal([]byte(p.line()), &c); err != nil {
			p.b.Fatalf("fleet: %v", err)
		}
		sum.Requests += c.Requests
		sum.Summaries += c.Summaries
		sum.Connections += c.Connections
		sum.Logins += c.Logins
	}
	return sum
}
