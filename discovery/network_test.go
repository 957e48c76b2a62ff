package discovery

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func networks(t testing.TB, cidrs ...string) []Network {
	t.Helper()
	var ps []Network
	for _, c := range cidrs {
		p, err := ParseNetwork(c)
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	return ps
}

func TestExpansion(t *testing.T) {
	for _, test := range []struct {
		name     string
		networks []string
		want     []string // sorted
	}{
		{"nothing", nil, nil},
		{"network and broadcast address are skipped", []string{"127.1.0.0/30"}, []string{"127.1.0.1", "127.1.0.2"}},
		{"a /31 has neither", []string{"127.1.0.0/31"}, []string{"127.1.0.0", "127.1.0.1"}},
		{"a /32 is one address", []string{"127.1.0.255/32"}, []string{"127.1.0.255"}},
		{"the same network twice is one", []string{"127.1.0.0/30", "127.1.0.0/30"}, []string{"127.1.0.1", "127.1.0.2"}},
		{"a network within another adds nothing", []string{"127.1.0.4/30", "127.1.0.0/29"},
			[]string{"127.1.0.1", "127.1.0.2", "127.1.0.3", "127.1.0.4", "127.1.0.5", "127.1.0.6"}},
		{"neighbours keep their own ends", []string{"127.1.0.0/30", "127.1.0.4/30"},
			[]string{"127.1.0.1", "127.1.0.2", "127.1.0.5", "127.1.0.6"}},
		{"a network address named by itself is meant", []string{"127.1.0.0/30", "127.1.0.0/32"},
			[]string{"127.1.0.0", "127.1.0.1", "127.1.0.2"}},
		{"the end of the address space of hosts", []string{"223.255.255.255/32"}, []string{"223.255.255.255"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := expand(networks(t, test.networks...), nil, 80)
			var got []netip.Addr
			for i := range h.total {
				got = append(got, h.at(i).Addr())
			}
			slices.SortFunc(got, netip.Addr.Compare)
			var names []string
			for _, a := range got {
				names = append(names, a.String())
			}
			if d := cmp.Diff(test.want, names); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestEveryAddressOnceAndNeighboursApart(t *testing.T) {
	for _, cidrs := range [][]string{{"127.1.0.0/22"}, {"127.1.0.0/16"}, {"127.1.0.0/24", "127.9.0.0/25", "127.9.1.0/29"}} {
		h := expand(networks(t, cidrs...), nil, 80)
		seen := make(map[netip.AddrPort]bool)
		var near int
		for i := range h.total {
			a := h.at(i)
			if seen[a] || !h.contains(a) {
				t.Fatalf("%v: %v twice or not of the networks", cidrs, a)
			}
			seen[a] = true
			if i > 0 {
				if d := int64(number(a.Addr())) - int64(number(h.at(i-1).Addr())); -16 < d && d < 16 {
					near++
				}
			}
		}
		if h.at(h.total) != h.at(0) {
			t.Errorf("%v: the order does not begin again after its end", cidrs)
		}
		if near > 0 {
			t.Errorf("%v: %d times an address follows one of the same neighbourhood", cidrs, near)
		}
	}
}

func targets(names ...string) (ts []Target) {
	for _, n := range names {
		ts = append(ts, Target{Name: n})
	}
	return ts
}

func one(a netip.Addr) Network { return Network{Range: Range{First: a, Last: a}} }

func ranges(t testing.TB, texts ...string) (rs []Range) {
	t.Helper()
	for _, s := range texts {
		r, err := ParseRange(s)
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	return rs
}

func TestPortsRangesAndWhatIsExcluded(t *testing.T) {
	for _, test := range []struct {
		name     string
		networks []string
		exclude  []string
		want     []string
	}{
		{"a range has both its ends", []string{"127.1.0.254-127.1.1.1"}, nil, []string{"127.1.0.254:80", "127.1.0.255:80", "127.1.1.0:80", "127.1.1.1:80"}},
		{"port forwards behind one address", []string{"127.1.0.7/32:80,8101-8103"}, nil,
			[]string{"127.1.0.7:80", "127.1.0.7:8101", "127.1.0.7:8102", "127.1.0.7:8103"}},
		{"an address of two networks is asked at the ports of both", []string{"127.1.0.0/30", "127.1.0.2/32:80,81"}, nil,
			[]string{"127.1.0.1:80", "127.1.0.2:80", "127.1.0.2:81"}},
		{"an address is excluded", []string{"127.1.0.0/30"}, []string{"127.1.0.2"}, []string{"127.1.0.1:80"}},
		{"a network is excluded whole", []string{"127.1.0.0/29"}, []string{"127.1.0.4/30"}, []string{"127.1.0.1:80", "127.1.0.2:80", "127.1.0.3:80"}},
		{"a range is excluded from all networks", []string{"127.1.0.0/30", "127.1.0.1-127.1.0.3:81"}, []string{"127.1.0.2-127.1.0.9"}, []string{"127.1.0.1:80", "127.1.0.1:81"}},
		{"all is excluded", []string{"127.1.0.0/30"}, []string{"127.1.0.0/24"}, nil},
		{"another network is excluded", []string{"127.1.0.0/31"}, []string{"127.2.0.0/16"}, []string{"127.1.0.0:80", "127.1.0.1:80"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := expand(networks(t, test.networks...), ranges(t, test.exclude...), 80)
			var got []netip.AddrPort
			for i := range h.total {
				e := h.at(i)
				if got = append(got, e); !h.contains(e) {
					t.Errorf("%s is scanned, and not contained", e)
				}
			}
			slices.SortFunc(got, netip.AddrPort.Compare)
			var names []string
			for _, e := range got {
				names = append(names, e.String())
			}
			if d := cmp.Diff(test.want, names); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseNetworkSaysWhatToWrite(t *testing.T) {
	for in, want := range map[string]string{
		"10.1.0.5/22":                "10.1.0.0/22",
		"10.1.0.5":                   "10.1.0.5/32",
		"10.0.0.0/8":                 "wider than /12",
		"0.0.0.0/0":                  "wider than /12",
		"fd00::/64":                  "IPv6",
		"::ffff:10.1.0.0/118":        "IPv4 network",
		"10.1.0.0/255.255.0.0":       "prefix length",
		"10.1.0.0/33":                "10.1.0.0/22",
		"miners.example/24":          "10.1.0.0/22",
		"":                           "10.1.0.0/22",
		"224.0.0.0/24":               "holds no hosts",
		"255.255.255.255/32":         "holds no hosts",
		"10.1.0.9-10.1.0.2":          "10.1.0.2-10.1.0.9",
		"10.1.0.9-20":                "192.0.2.10-192.0.2.99",
		"10.1.0.9-fd00::1":           "192.0.2.10-192.0.2.99",
		"10.0.0.0-10.255.255.255":    "/12",
		"10.1.0.0/24:0":              "8101-8120",
		"10.1.0.0/24:":               "8101-8120",
		"10.1.0.0/24:90-80":          "8101-8120",
		"10.1.0.0/24:80,http":        "8101-8120",
		"10.0.0.0/12:80-81":          "name fewer",
		"239.255.255.255-240.0.0.10": "holds no hosts",
		"223.255.255.0-224.0.0.9":    "holds no hosts",
		"0.255.255.0-1.0.0.9":        "holds no hosts",
	} {
		_, err := ParseNetwork(in)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), strings.SplitN(in, ":80-81", 2)[0]) {
			t.Errorf("ParseNetwork(%q) = %v, want an error that names it and says %q", in, err, want)
		}
	}
}

func TestAnAddressThatIsNotIPv4IsNoRange(t *testing.T) {
	for _, in := range []string{"fd00::1", "::ffff:10.1.0.5", "miner"} {
		if r, err := ParseRange(in); err == nil || !strings.Contains(err.Error(), "10.1.0.0/22") {
			t.Errorf("ParseRange(%q) = %v, %v, want an error that says what to write", in, r, err)
		}
	}
}

func FuzzParseNetwork(f *testing.F) {
	for _, s := range []string{"10.1.0.0/22", "10.1.0.5/22", "10.0.0.0/8", "fd00::/64", "1.2.3.4", "/", "10.1.0.0/255.255.0.0", "127.0.0.1/32",
		"192.0.2.10-192.0.2.99", "192.0.2.7/32:80,8101-8120", "192.0.2.9-192.0.2.1", "192.0.2.7/32:", "1.1.1.1-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseNetwork(s)
		if err != nil {
			return
		}
		again, err := ParseNetwork(n.String())
		if err != nil || !again.Equal(n) {
			t.Errorf("%q was read as %v, and that as %v: %v", s, n, again, err)
		}
		h := expand([]Network{n}, nil, 80)
		if h.total == 0 || !n.Contains(h.at(0).Addr()) || !n.Contains(h.at(h.total-1).Addr()) {
			t.Errorf("%v expands to %d endpoints, or to some outside of it", n, h.total)
		}
		if h := expand([]Network{n}, []Range{n.Range}, 80); h.total != 0 {
			t.Errorf("%v is excluded, and %d endpoints are left", n, h.total)
		}
	})
}
