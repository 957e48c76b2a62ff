package discovery

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func networks(t testing.TB, cidrs ...string) []netip.Prefix {
	t.Helper()
	var ps []netip.Prefix
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
			h := expand(networks(t, test.networks...))
			var got []netip.Addr
			for i := range h.total {
				got = append(got, h.at(i))
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
		h := expand(networks(t, cidrs...))
		seen := make(map[netip.Addr]bool)
		var near int
		for i := range h.total {
			a := h.at(i)
			if seen[a] || !h.contains(a) {
				t.Fatalf("%v: %v twice or not of the networks", cidrs, a)
			}
			seen[a] = true
			if i > 0 {
				if d := int64(number(a)) - int64(number(h.at(i-1))); -16 < d && d < 16 {
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

func TestParseNetworkSaysWhatWouldDo(t *testing.T) {
	for in, want := range map[string]string{
		"10.1.0.5/22":          "10.1.0.0/22",
		"10.1.0.5":             "10.1.0.5/32",
		"10.0.0.0/8":           "wider than /12",
		"0.0.0.0/0":            "wider than /12",
		"fd00::/64":            "IPv6",
		"::ffff:10.1.0.0/118":  "IPv4 network",
		"10.1.0.0/255.255.0.0": "prefix length",
		"10.1.0.0/33":          "10.1.0.0/22",
		"miners.example/24":    "10.1.0.0/22",
		"":                     "10.1.0.0/22",
		"224.0.0.0/24":         "holds no hosts",
		"255.255.255.255/32":   "holds no hosts",
	} {
		_, err := ParseNetwork(in)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"`+in+`"`) {
			t.Errorf("ParseNetwork(%q) = %v, want an error that names it and says %q", in, err, want)
		}
	}
}

func FuzzParseNetwork(f *testing.F) {
	for _, s := range []string{"10.1.0.0/22", "10.1.0.5/22", "10.0.0.0/8", "fd00::/64", "1.2.3.4", "/", "10.1.0.0/255.255.0.0", "127.0.0.1/32"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseNetwork(s)
		if err != nil {
			return
		}
		if p.String() != s {
			t.Errorf("%q was read as %v", s, p)
		}
		h := expand([]netip.Prefix{p})
		if h.total == 0 || !p.Contains(h.at(0)) || !p.Contains(h.at(h.total-1)) {
			t.Errorf("%v expands to %d addresses, or to some outside of it", p, h.total)
		}
	})
}
