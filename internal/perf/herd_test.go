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

// A herd lives in processes of its own, so that what is measured of the program is the
// program's. Each has a /16 of loopback and at most so many dragons: a process here
// may have some twenty thousand files open, and a dragon takes two of its herd.
const (
	herdVariable = "PERF_HERD" // count,prefix,port: this process is a herd
	herdAtMost   = 5000
	answersAfter = 5 * time.Millisecond // every dragon
)

// count is what a herd has counted since it was asked to forget.
type count struct{ Requests, Summaries, Connections, Logins int }

// beHerd is the other end of a herdProcess: it answers questions on its standard
// input, and ends with it.
func beHerd(config string) error {
	part := strings.Split(config, ",")
	n, err := strconv.Atoi(part[0])
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(part[2], 10, 16)
	if err != nil {
		return err
	}
	herd, err := dragontest.NewHerd(dragontest.HerdConfig{Count: n, Prefix: netip.MustParsePrefix(part[1]), Port: uint16(port)})
	if err != nil {
		return err
	}
	defer herd.Close()
	for _, d := range herd.Dragons() {
		d.Inject(dragontest.Slow, dragontest.Delay(answersAfter))
	}
	fmt.Println(herd.Port(), herd.Networks()[0])
	for questions := bufio.NewScanner(os.Stdin); questions.Scan(); {
		var c count
		word, arg, _ := strings.Cut(questions.Text(), " ")
		switch word {
		case "forget":
			for _, d := range herd.Dragons() {
				d.ForgetTraffic()
			}
		case "hang": // one in so many
			every, err := strconv.Atoi(arg)
			if err != nil {
				return err
			}
			for i := 0; i < herd.Len(); i += every {
				herd.Dragon(i).Inject(dragontest.Hang)
			}
		case "count":
			for _, d := range herd.Dragons() {
				t := d.Traffic()
				c.Requests += t.Total()
				c.Summaries += t.Requests["summary"]
				c.Connections += t.Connections
				c.Logins += t.Logins
			}
		default:
			return fmt.Errorf("a herd does not know %q", word)
		}
		if err := json.NewEncoder(os.Stdout).Encode(c); err != nil {
			return err
		}
	}
	return nil
}

type herdProcess struct {
	b   *testing.B
	in  *os.File
	out *bufio.Reader
}

// herd is some dragons in processes of their own.
type herd struct {
	parts    []*herdProcess
	size     int
	networks []string
	port     string
	flags    []string // that point the program at it
}

func newHerd(b *testing.B, size int) *herd {
	b.Helper()
	h := &herd{size: size, port: "0"}
	for i := 0; i*herdAtMost < size; i++ {
		n := min(herdAtMost, size-i*herdAtMost)
		p, said := startHerd(b, fmt.Sprintf("%d,127.%d.0.0/16,%s", n, 90+i, h.port))
		var network string
		if _, err := fmt.Sscan(said, &h.port, &network); err != nil {
			b.Fatalf("herd: %v: %q", err, said)
		}
		h.parts = append(h.parts, p)
		h.networks = append(h.networks, network)
		h.flags = append(h.flags, "--network="+network)
	}
	h.flags = append(h.flags, "--dragon-port="+h.port)
	return h
}

func startHerd(b *testing.B, config string) (*herdProcess, string) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), herdVariable+"="+config)
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
	p := &herdProcess{b, ours, bufio.NewReader(out)}
	return p, p.line()
}

func (p *herdProcess) line() string {
	p.b.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.b.Fatalf("herd: %v", err)
	}
	return line
}

// ask puts a question to all processes of the herd, and adds up what they say.
func (h *herd) ask(question string) (sum count) {
	for _, p := range h.parts {
		p.b.Helper()
		if _, err := fmt.Fprintln(p.in, question); err != nil {
			p.b.Fatalf("herd: %v", err)
		}
		var c count
		if err := json.Unmarshal([]byte(p.line()), &c); err != nil {
			p.b.Fatalf("herd: %v", err)
		}
		sum.Requests += c.Requests
		sum.Summaries += c.Summaries
		sum.Connections += c.Connections
		sum.Logins += c.Logins
	}
	return sum
}
