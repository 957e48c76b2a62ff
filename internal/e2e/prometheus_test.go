package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/installed"
)

// scrapeConfig is both patterns of the README, fast.
const scrapeConfig = `
global: {scrape_interval: 2s, scrape_timeout: 1500ms}
scrape_configs:
  - job_name: dragons
    static_configs: [{targets: ["%[1]s"]}]
  - job_name: dragon
    metrics_path: /probe
    http_sd_configs: [{url: "http://%[1]s/sd", refresh_interval: 2s}]
    relabel_configs:
      - {source_labels: [__meta_dragon_worker], target_label: __param_target}
      - {source_labels: [__meta_dragon_worker], target_label: instance}
      - {target_label: __address__, replacement: "%[1]s"}
`

// prometheus is a real one that scrapes the program.
type prometheus struct{ base string }

func startPrometheus(t *testing.T, motherAddress string) prometheus {
	t.Helper()
	return runPrometheus(t, fmt.Sprintf(scrapeConfig, motherAddress))
}

func runPrometheus(t *testing.T, config string, args ...string) prometheus {
	t.Helper()
	program := installed.Tool(t, "prometheus", "prometheus")
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	args = append(args, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	spawn(t, nil, program, args...)
	return prometheus{"http://" + address}
}

// query returns the values of an instant query by worker. It is nil while Prometheus
// does not answer.
func (p prometheus) query(t *testing.T, promql string) map[string]float64 {
	t.Helper()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	body, err := tryGet(p.base + "/api/v1/query?query=" + url.QueryEscape(promql))
	if err != nil {
		return nil
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%s: %v: %.300s", promql, err, body)
	}
	values := map[string]float64{}
	for _, r := range answer.Data.Result {
		v, err := strconv.ParseFloat(r.Value[1].(string), 64)
		if err != nil {
			t.Fatal(err)
		}
		values[r.Metric["worker"]] = v
	}
	return values
}

// sick are the faults of some dragons of the fleet; they are known before it begins.
var sick = map[int]dragontest.Fault{
	3: dragontest.Hang, 7: dragontest.Reset, 12: dragontest.Endless, 17: dragontest.Garbage, 22: dragontest.WrongPassword,
	27: dragontest.NotReady, 32: dragontest.Status502, 37: dragontest.Trickle,
}

// odd is what some others do that must not keep them from being read.
var odd = map[int]dragontest.Fault{
	41: dragontest.DeadBoard, 43: dragontest.NumbersAsStrings, 45: dragontest.PHPArrays, 47: dragontest.HostileLabels,
	49: dragontest.InvalidUTF8, 51: dragontest.DuplicateBoards, 53: dragontest.BogusTemperature,
}

func TestPrometheusSeesWhatTheFleetKnows(t *testing.T) {
	t.Parallel()
	dragons, flags := fleetOf(t, dragontest.FleetConfig{Count: 60, Specs: dragontest.Mixed})
	var front atomic.Pointer[url.URL] // the program starts first, with the address of this
	server := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(front.Load()) }})
	defer server.Close()
	front.Store(&url.URL{Scheme: "http", Host: "127.0.0.1:9"})
	p, base := mother(t, append(flags, "--dragon-timeout=1", "--web.prometheus="+server.URL)...)
	prom := startPrometheus(t, base[len("http://"):])
	at, err := url.Parse(prom.base)
	if err != nil {
		t.Fatal(err)
	}
	front.Store(at)

	eventually(t, "all 60 dragons are known and up", func() bool {
		return prom.query(t, `count(dragon_up{job="dragons"} == 1)`)[""] == 60 && prom.query(t, `count(dragon_up{job="dragon"} == 1)`)[""] == 60
	})
	for i, f := range sick {
		dragons.Dragon(i).Inject(f)
	}
	for i, f := range odd {
		dragons.Dragon(i).Inject(f)
	}
	for _, job := range []string{"dragons", "dragon"} {
		eventually(t, "job "+job+" sees exactly the sick ones down", func() bool {
			up := prom.query(t, fmt.Sprintf(`dragon_up{job=%q}`, job))
			if len(up) != 60 {
				return false
			}
			for i := range dragons.Len() {
				_, isSick := sick[i]
				if up[worker(dragons, i)] == 1 == isSick {
					return false
				}
			}
			return true
		})
		eventually(t, "job "+job+" has scraped the others since", func() bool {
			dead := prom.query(t, fmt.Sprintf(`count by (worker) (dragon_board_up{job=%q} == 0)`, job))
			for i, f := range odd {
				if f == dragontest.DeadBoard && dead[worker(dragons, i)] != 1 {
					return false
				}
			}
			return true
		})
		if n := prom.query(t, fmt.Sprintf(`count(up{job=%q} == 0) or vector(0)`, job))[""]; n != 0 {
			t.Errorf("job %s: %v scrapes failed as a whole; a sick dragon must not cost one", job, n)
		}

		// What the fleet knows about itself.
		boards := prom.query(t, fmt.Sprintf(`dragon_boards{job=%q}`, job))
		rates := prom.query(t, fmt.Sprintf(`sum by (worker) (dragon_board_hashrate_hashes_per_second{job=%q, window="avg"})`, job))
		dead := prom.query(t, fmt.Sprintf(`count by (worker) (dragon_board_up{job=%q} == 0)`, job))
		pools := prom.query(t, fmt.Sprintf(`count by (worker) (dragon_pool_info{job=%q})`, job))
		info := prom.query(t, fmt.Sprintf(`dragon_info{job=%q}`, job))
		if len(info) != 60 {
			t.Errorf("job %s: dragon_info of %d dragons, want 60", job, len(info))
		}
		for i := range dragons.Len() {
			w, truth := worker(dragons, i), dragons.Dragon(i).Truth()
			if _, isSick := sick[i]; isSick {
				if _, ok := boards[w]; ok {
					t.Errorf("job %s: %s is down and has data all the same", job, w)
				}
				continue
			}
			if int(boards[w]) != len(truth.Boards) {
				t.Errorf("job %s: %s has %v boards, knows of %d", job, w, boards[w], len(truth.Boards))
			}
			if int(pools[w]) != len(truth.Pools) {
				t.Errorf("job %s: %s has %v pools, knows of %d", job, w, pools[w], len(truth.Pools))
			}
			if odd[i] == dragontest.DeadBoard {
				if dead[w] != 1 {
					t.Errorf("job %s: %s shows %v dead boards, want 1", job, w, dead[w])
				}
			} else if r := rates[w] / truth.Hashrate; math.Abs(r-1) > 0.1 {
				t.Errorf("job %s: %s shows %.4g H/s, really hashes %.4g", job, w, rates[w], truth.Hashrate)
			}
		}
	}

	eventually(t, "a dragon's page has all charts from Prometheus", func() bool {
		page, err := tryGet(base + "/dragon?worker=" + worker(dragons, 0))
		return err == nil && strings.Contains(page, "From Prometheus at ") && strings.Count(page, `<path class="value"`) == 3
	})

	// Two jobs read every dragon, and each dragon saw one request at a time and one login.
	for i := range dragons.Len() {
		traffic := dragons.Dragon(i).Traffic()
		if traffic.MaxInFlight > 1 {
			t.Errorf("%s had %d requests in flight at once", worker(dragons, i), traffic.MaxInFlight)
		}
		if _, isSick := sick[i]; !isSick && traffic.Logins > 1 {
			t.Errorf("%s saw %d logins", worker(dragons, i), traffic.Logins)
		}
		if len(traffic.Forbidden) > 0 {
			t.Errorf("%s was asked for %v", worker(dragons, i), traffic.Forbidden)
		}
	}
	p.stop(t)
}

func worker(dragons *dragontest.Fleet, i int) string {
	return dragon.WorkerName(dragons.Dragon(i).Spec().MAC)
}
