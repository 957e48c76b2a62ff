package packaging_test

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// etcd keeps every version of a key until it is told not to. Without that it is full after a week
// of 10,000 dragons, and refuses all writes: nothing is healed any more.
func TestTheExamplesOfEtcdForgetOldVersions(t *testing.T) {
	const host, compose = "examples/ha/etcd.env", "examples/ha/compose.yml"
	if !strings.Contains(readFile(t, host), "\nETCD_AUTO_COMPACTION_RETENTION=1h\n") {
		t.Errorf("%s keeps every version", host)
	}
	var file struct {
		Services map[string]struct{ Command []string }
	}
	if err := yaml.Unmarshal([]byte(readFile(t, compose)), &file); err != nil {
		t.Fatal(err)
	}
	servers := 0
	for name, s := range file.Services {
		if len(s.Command) == 0 || s.Command[0] != "etcd" {
			continue
		}
		servers++
		if !strings.Contains(strings.Join(s.Command, " "), "--auto-compaction-retention=1h") {
			t.Errorf("%s: %s keeps every version", compose, name)
		}
	}
	if servers != 3 {
		t.Errorf("%s has %d etcd servers, want 3", compose, servers)
	}
}
