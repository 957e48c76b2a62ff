package dragontest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recordings are real answers of T1s, beside the checkout where they exist.
const recordings = "../../../shared/recordings"

// shapeOf lists every path in a JSON value with the kind of what is there. Elements
// of a list share a path.
func shapeOf(t *testing.T, text []byte) []string {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	seen := map[string]bool{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		seen[fmt.Sprintf("%s %T", path, v)] = true
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				walk(path+"."+k, e)
			}
		case []any:
			for _, e := range v {
				walk(path+"[]", e)
			}
		}
	}
	walk("", v)
	var paths []string
	for p := range seen {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	return paths
}

func TestAnswersHaveTheRecordedShape(t *testing.T) {
	if _, err := os.Stat(recordings); err != nil {
		t.Skip("no recordings beside this checkout")
	}
	for _, c := range []struct {
		recording, endpoint string
		form                []string
		before              func(*bench)
	}{
		{recording: "test_auth__01__api_auth.json", endpoint: "auth", form: []string{"username", "admin", "password", "dragonadmin"}},
		{recording: "test_summary__01__api_summary.json", endpoint: "summary"},
		{recording: "test_mother_workers_started__09__api_summary.json", endpoint: "summary"},
		{recording: "test_fetch_stats__03__api_summary.json", endpoint: "summary", before: func(b *bench) { b.Inject(DeadBoardHot) }},
		{recording: "test_overview__01__api_overview.json", endpoint: "overview"},
		{recording: "test_pools__01__api_pools.json", endpoint: "pools"},
		{recording: "test_type__01__api_type.json", endpoint: "type"},
		{recording: "test_network__01__api_network.json", endpoint: "network"},
		{recording: "test_getAutoTuneStatus__01__api_getAutoTuneStatus.json", endpoint: "getAutoTuneStatus"},
		{recording: "test_getAutoTune__01__api_setAutoTune.json", endpoint: "setAutoTune", form: []string{"autotune", "efficient"}},
		{recording: "test_getDebugStats__01__api_getDebugStats.json", endpoint: "getDebugStats", before: func(b *bench) { b.RestartMiner() }},
		{recording: "test_getLatestFirmwareVersion__01__api_getLatestFirmwareVersion.json", endpoint: "getLatestFirmwareVersion"},
	} {
		t.Run(c.recording, func(t *testing.T) {
			recorded, err := os.ReadFile(filepath.Join(recordings, c.recording))
			if err != nil {
				t.Fatal(err)
			}
			var ours string
			onBench(t, Spec{}, func(b *bench) {
				if c.endpoint == "auth" {
					b.auth = "none"
				}
				if c.before != nil {
					c.before(b)
				}
				ours = b.post(c.endpoint, c.form...)
			})
			if diff := cmp.Diff(shapeOf(t, recorded), shapeOf(t, []byte(ours))); diff != "" {
				t.Errorf("recorded -, simulated +\n%s", diff)
			}
			// The order of the members is the same as well, which makes goldens alike.
			if a, b := keysInOrder(string(recorded)), keysInOrder(ours); c.endpoint != "summary" && !slices.Equal(a, b) {
				t.Errorf("order: recorded %v, simulated %v", a, b)
			}
		})
	}
}

func keysInOrder(text string) (keys []string) {
	dec := json.NewDecoder(strings.NewReader(text))
	for {
		tok, err := dec.Token()
		if err != nil {
			return slices.Compact(keys)
		}
		if s, ok := tok.(string); ok && strings.Contains(text, `"`+s+`":`) {
			keys = append(keys, s)
		}
	}
}

func TestExpiredIsRecorded(t *testing.T) {
	recorded, err := os.ReadFile(filepath.Join(recordings, "test_check_unhealthy_low_hashrate__04__api_summary.json"))
	if err != nil {
		t.Skip("no recordings beside this checkout")
	}
	if string(recorded) != tokenExpired {
		t.Errorf("recorded %s, simulated %s", recorded, tokenExpired)
	}
}
