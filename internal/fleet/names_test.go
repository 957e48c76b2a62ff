package fleet

import (
	"strings"
	"testing"
)

func TestAddressesOfAnInventoryCanBeConnectedTo(t *testing.T) {
	for address, want := range map[string]bool{
		"10.1.0.8": true, "10.1.0.8:8080": true, "10.1.0.8:65535": true, "[::1]:80": true, "::1": true,
		"az09.-_": true, "miner-8.example:1": true, strings.Repeat("a", 253): true,
		"": false, ":80": false, "10.1.0.8:0": false, "10.1.0.8:65536": false, "10.1.0.8:http": false,
		"miner`": false, "miner{": false, "miner/": false, "miner;": false, "a b": false, strings.Repeat("a", 254): false,
	} {
		if got := isAddress(address); got != want {
			t.Errorf("%q: %v, want %v", address, got, want)
		}
	}
}
