package discovery

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// The tests of this file run this test's binary again in network namespaces of its own:
// one with the scanner, one with the hosts, and between them a cable on which an address
// without a host is a real black hole, with a real ARP and a real neighbour table. The
// namespaces end with their processes. The addresses are those set aside for
// benchmarks (RFC 2544).
const (
	roleVariable = "DISCOVERY_TEST_ROLE"
	scannerCIDR  = "198.18.0.1/16"
)

func TestMain(m *testing.M) {
	if beBusy() {
		return
	}
	switch os.Getenv(roleVariable) {
	case "hosts":
		exitOn(beHosts())
	case "scanner":
		exitOn(beScanner(os.Args[1:]))
	default:
		goleak.VerifyTestMain(m)
	}
}

func exitOn(err error) {
	if err != nil {
		fmt.Println("FAILED", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func TestBlackHolesBehindARealNeighbourTable(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds of real time")
	}
	for network := range strings.FieldsSeq(cmp.Or(os.Getenv("DISCOVERY_TEST_NETWORKS"), "198.18.4.0/22")) {
		t.Run(network, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], network)
			cmd.Env = append(os.Environ(), roleVariable+"=scanner")
			cmd.SysProcAttr = ownNetwork()
			out, err := cmd.CombinedOutput()
			if strings.Contains(string(out), "CANNOT") || (err != nil && len(out) == 0) {
				t.Skipf("no network namespace with a cable can be made here (needs root or user namespaces, and ip of iproute2): %v %s", err, out)
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

// ownNetwork gives a process a network namespace, without root also a user namespace.
func ownNetwork() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return attr
}

func ip(args string) error {
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("CANNOT: ip %s: %w %s", args, err, out)
	}
	return nil
}

// beHosts answers at every 64th address of 198.18.0.0/16 and of 198.19.0.0/16, once
// its standard input says that the cable is plugged in.
func beHosts() error {
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	go func() { // until its parent is gone
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for _, args := range []string{"link set lo up", "addr add 198.18.0.2/16 dev hosts", "link set hosts up"} {
		if err := ip(args); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", "0.0.0.0:80")
	if err != nil {
		return err
	}
	var batch strings.Builder
	for n := 0; n < 1<<16; n += 64 {
		fmt.Fprintf(&batch, "route add local 198.18.%d.%d dev hosts\nroute add local 198.19.%d.%d dev lo\n", n>>8, n&255+5, n>>8, n&255+5)
	}
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(batch.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("CANNOT: routes: %w %s", err, out)
	}
	fmt.Println("ready")
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		c.Close()
	}
}

// beScanner scans networks in a namespace of its own, and refuses to do it anywhere else.
func beScanner(networks []string) error {
	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	if len(interfaces) > 1 {
		return fmt.Errorf("CANNOT: this is not a network namespace of its own: it has %d interfaces", len(interfaces))
	}
	hosts := exec.Command(os.Args[0])
	hosts.Env = append(os.Environ(), roleVariable+"=hosts")
	hosts.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	in, err := hosts.StdinPipe()
	if err != nil {
		return err
	}
	out, err := hosts.StdoutPipe()
	if err != nil {
		return err
	}
	if err := hosts.Start(); err != nil {
		return fmt.Errorf("CANNOT: %w", err)
	}
	defer func() {
		_ = hosts.Process.Kill()
		_ = hosts.Wait()
	}()
	for _, args := range []string{
		"link set lo up",
		"link add scanner type veth peer name hosts",
		"link set hosts netns " + fmt.Sprint(hosts.Process.Pid),
		"addr add " + scannerCIDR + " dev scanner",
		"link set scanner up",
		"route add 198.19.0.0/16 via 198.18.0.2", // a routed network
	} {
		if err := ip(args); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(in, "\n"); err != nil {
		return err
	}
	lines := bufio.NewReader(out)
	if said, err := lines.ReadString('\n'); said != "ready\n" {
		return fmt.Errorf("hosts: %w %s", err, said)
	}
	for _, n := range networks {
		if err := scanHosts(n); err != nil {
			return err
		}
		if os.Getenv("DISCOVERY_TEST_NMAP") == "" {
			continue
		}
		for _, args := range []string{"-n -sn", "-n -Pn -p80 --open"} {
			if err := ip("neigh flush all"); err != nil { // cold for everybody
				return err
			}
			begun := time.Now()
			out, err := exec.Command("nmap", strings.Fields(args+" "+n)...).CombinedOutput()
			if err != nil {
				return fmt.Errorf("nmap %s: %w %s", args, err, out)
			}
			fmt.Printf("nmap %s %s: %d hosts in %v\n", args, n, strings.Count(string(out), "Nmap scan report for"), time.Since(begun).Round(time.Millisecond))
		}
	}
	return nil
}

// scanHosts scans a network cold and wants every host of it found open.
func scanHosts(network string) error {
	p, err := ParseNetwork(network)
	if err != nil {
		return err
	}
	f, err := fleet.Open(fleet.Config{})
	if err != nil {
		return err
	}
	s := New(Config{Networks: []Network{p}, Fleet: f, IdentifyTimeout: time.Second})
	r, err := s.Scan(context.Background())
	if err != nil {
		return err
	}
	var want int
	for i := range s.hosts.total {
		if a := s.hosts.at(i).Addr(); number(a)&63 == 5 || a == netip.MustParseAddr("198.18.0.2") {
			want++
		}
	}
	fmt.Printf("%s: %d of %d hosts among %d addresses in %v, %d connects at once\n", network, r.Open, want, r.Addresses, r.Duration.Round(time.Millisecond), s.cfg.Parallel)
	if r.Open != want {
		return fmt.Errorf("%s: %d of %d hosts found", network, r.Open, want)
	}
	return nil
}
