package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

const locks = `
networks:
  - {cidr: 127.5.0.0/16, site: hall-a}
  - {cidr: 127.6.0.0/16, site: hall-b}
credentials:
  - {username: admin, password: everyone}
  - {username: admin, password: hall-a, match: {site: hall-a}}
  - {username: admin, password: shelf, match: {network: [127.5.7.0/24, 127.6.7.0/24]}}
  - {username: admin, password: t2, match: {model: t2}}
  - {username: admin, password: one, match: {mac: ["A0-B0-45-00-00-01"]}}
  - {username: root, password: everyone, match: {all: true}}
`

func passwords(list []dragon.Credential) string {
	var words []string
	for _, c := range list {
		words = append(words, c.Username+"/"+string(c.Password))
	}
	return strings.Join(words, " ")
}

func TestCredentialsOfTheMostSpecificMatchComeFirst(t *testing.T) {
	c := mustParse(t, locks)
	for _, x := range []struct {
		name, address string
		who           *fleet.Info
		want          string
	}{
		{"nothing but all", "127.6.0.9", &fleet.Info{MAC: "a0:b0:45:00:00:09", Model: "T1"}, "admin/everyone root/everyone"},
		{"a site", "127.5.0.9:8080", &fleet.Info{MAC: "a0:b0:45:00:00:09", Model: "T1"}, "admin/hall-a admin/everyone root/everyone"},
		{"a network, a site and a model", "127.5.7.9", &fleet.Info{MAC: "a0:b0:45:00:00:09", Model: "T2"}, "admin/shelf admin/hall-a admin/t2 admin/everyone root/everyone"},
		{"a MAC", "127.6.7.1", &fleet.Info{MAC: "a0:b0:45:00:00:01", Model: "T1"}, "admin/one admin/shelf admin/everyone root/everyone"},
		{"an unidentified dragon", "127.5.0.1", nil, "admin/hall-a admin/everyone root/everyone admin/one admin/t2"},
		{"a name", "dragon.example.net", nil, "admin/everyone root/everyone admin/one admin/t2"},
	} {
		if diff := cmp.Diff(x.want, passwords(c.Credentials.For(x.address, x.who))); diff != "" {
			t.Errorf("%s: %s", x.name, diff)
		}
	}
}

func TestWhereNoCredentialMatchesTheDeliveredOnesAreTried(t *testing.T) {
	c := mustParse(t, "networks: [{cidr: 127.5.0.0/16}]\ncredentials: [{username: admin, password: one, match: {mac: 'a0:b0:45:00:00:01'}}]\n")
	for name, x := range map[string]struct {
		who  *fleet.Info
		want string
	}{
		"another dragon": {&fleet.Info{MAC: "a0:b0:45:00:00:02"}, "admin/dragonadmin admin/admin"},
		"that one":       {&fleet.Info{MAC: "a0:b0:45:00:00:01"}, "admin/one"},
		"a new one":      {nil, "admin/dragonadmin admin/admin admin/one"},
	} {
		if got := passwords(c.Credentials.For("127.5.0.1", x.who)); got != x.want {
			t.Errorf("%s: %s, want %s", name, got, x.want)
		}
	}
}

// A password for each of a thousand dragons is not tried a thousand times on one.
func TestFewPasswordsOfOthersAreTriedOnAStranger(t *testing.T) {
	var b strings.Builder
	b.WriteString("networks: [{cidr: 127.5.0.0/16}]\ncredentials:\n")
	for _, m := range "0123456789abcdef" {
		b.WriteString("  - {username: admin, password: for-" + string(m) + ", match: {mac: 'a0:b0:45:00:00:0" + string(m) + "'}}\n")
	}
	c := mustParse(t, b.String())
	if got := len(c.Credentials.For("127.5.0.1", nil)); got != 2+mostStrange {
		t.Errorf("%d are tried", got)
	}
}

func TestCredentialsThatSayTheSameAreEqual(t *testing.T) {
	a, b := mustParse(t, locks), mustParse(t, locks)
	other := mustParse(t, strings.Replace(locks, "127.6.7.0/24", "127.6.8.0/24", 1))
	if !a.Credentials.Equal(&b.Credentials) || a.Credentials.Equal(&other.Credentials) {
		t.Error("equal ones differ, or different ones are equal")
	}
}

func TestEveryLoadReadsTheFileAgain(t *testing.T) {
	c := mustParse(t, "networks: [{cidr: 127.5.0.0/16}]\n", "--statsd-prefix=flag")
	again, err := load(c.flags, written(t, "dragons: [{address: 127.6.0.1}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Networks) != 0 || len(again.Targets()) != 1 || again.Statsd.Prefix != "flag" {
		t.Errorf("something of the file before is left: %+v", again)
	}
}
