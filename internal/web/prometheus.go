package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	askedFor     = 24 * time.Hour   // that the charts show from Prometheus
	askPatience  = 2 * time.Second  // of a page, for all its charts
	askedAgain   = time.Minute      // after which the same charts are asked for again
	askedLater   = 30 * time.Second // after which one that failed is asked again
	mostAnswer   = 256 << 10        // bytes; the answer to one query has about 10 kB
	mostAtOnce   = 4                // dragons that are asked for at the same time
	mostRemember = 64               // dragons whose charts are kept
)

// The queries of the charts, by worker. Two jobs, or two instances, may scrape one dragon: max takes
// one of them. The rate of a dead board counts as 0, because some firmware repeats its last one.
const (
	rateQuery = `sum(max by (board) (dragon_board_hashrate_hashes_per_second{worker=%[1]s,window="5m"}` +
		` or on (board) dragon_board_hashrate_hashes_per_second{worker=%[1]s,window="15m"}` +
		` or on (board) dragon_board_hashrate_hashes_per_second{worker=%[1]s,window="1m"}` +
		` or on (board) dragon_board_hashrate_hashes_per_second{worker=%[1]s,window="avg"})` +
		` * on (board) max by (board) (dragon_board_up{worker=%[1]s}))`
	temperatureQuery = `max(dragon_board_temperature_celsius{worker=%[1]s})`
	// sharesQuery looks back three steps, because of scrapes that are minutes apart.
	sharesQuery = `300 * sum(max by (pool) (rate(dragon_pool_shares_total{worker=%[1]s,result="accepted"}[15m])))`
)

// past asks a Prometheus for the charts of dragons.
type past struct {
	client *http.Client
	slots  chan struct{}

	mu   sync.Mutex
	kept map[string]askedCharts // by base URL and worker
	down map[string]askedCharts // by base URL: its last failure
}

// askedCharts is an answer of Prometheus, or why there is none.
type askedCharts struct {
	at      time.Time
	samples []recentSample
	err     error
}

func newPast() *past {
	return &past{
		client: &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}},
		slots:  make(chan struct{}, mostAtOnce), kept: make(map[string]askedCharts), down: make(map[string]askedCharts),
	}
}

var errNoSeries = errors.New("it has no series of this dragon")

// chartsFor are the charts of a dragon, and the sentence that says where they come from.
func (p *pages) chartsFor(ctx context.Context, a *DragonAnswer, now time.Time) (list []chart, source string) {
	base := ""
	if p.Prometheus != nil {
		base = p.Prometheus()
	}
	recent := p.Recent.last(a.MAC, now)
	if base == "" {
		return chartsOf(recent, a), "From the memory of this program. A Prometheus in web.prometheus shows 24 hours."
	}
	host := base
	if u, err := url.Parse(base); err == nil {
		host = u.Host
	}
	samples, err := p.past.last(ctx, base, a.Worker, now)
	if err != nil {
		return chartsOf(recent, a), fmt.Sprintf("From the memory of this program. Prometheus at %s is not used: %s.", host, err)
	}
	return chartsOf(samples, a), fmt.Sprintf("From Prometheus at %s.", host)
}

// last returns the last day of a dragon, in steps of recentStep. A page is not kept waiting: after a
// failure Prometheus is left alone for a while.
func (p *past) last(ctx context.Context, base, worker string, now time.Time) ([]recentSample, error) {
	if a, ok := p.remembered(base, worker, now); ok {
		return a.samples, a.err
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, errors.New("too many pages ask it at once")
	}
	a := askedCharts{at: now}
	a.samples, a.err = p.ask(ctx, base, worker, now)
	if !errors.Is(ctx.Err(), context.Canceled) { // else the page was left
		p.remember(base, worker, a)
	}
	return a.samples, a.err
}

func (p *past) remembered(base, worker string, now time.Time) (askedCharts, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a, ok := p.kept[base+" "+worker]; ok && now.Sub(a.at).Abs() < askedAgain {
		return a, true
	}
	a, ok := p.down[base]
	return a, ok && now.Sub(a.at).Abs() < askedLater
}

func (p *past) remember(base, worker string, a askedCharts) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.err != nil && !errors.Is(a.err, errNoSeries) {
		clear(p.down) // there is one Prometheus at a time
		p.down[base] = a
		return
	}
	if len(p.kept) >= mostRemember {
		clear(p.kept)
	}
	p.kept[base+" "+worker] = a
}

// ask asks for the three charts at once.
func (p *past) ask(ctx context.Context, base, worker string, now time.Time) ([]recentSample, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, errors.New("its URL is invalid")
	}
	end := now.Truncate(time.Second)
	samples := make([]recentSample, int(askedFor/recentStep)+1)
	for i := range samples {
		samples[i] = unknownSample
	}
	set := []func(*recentSample, float32){
		func(s *recentSample, v float32) { s.hashrate = v },
		func(s *recentSample, v float32) { s.temperature = v },
		func(s *recentSample, v float32) { s.shares = v },
	}
	series, errs := make([][]point, len(set)), make([]error, len(set))
	var wait sync.WaitGroup
	for i, query := range []string{rateQuery, temperatureQuery, sharesQuery} {
		at := u.JoinPath("api/v1/query_range")
		at.RawQuery = url.Values{
			"query": {fmt.Sprintf(query, strconv.Quote(worker))}, "timeout": {askPatience.String()},
			"start": {strconv.FormatInt(end.Add(-askedFor).Unix(), 10)}, "end": {strconv.FormatInt(end.Unix(), 10)},
			"step": {strconv.Itoa(int(recentStep / time.Second))},
		}.Encode()
		wait.Go(func() { series[i], errs[i] = p.get(ctx, at.String()) })
	}
	wait.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return nil, errs[i]
	}
	known := 0
	for i, points := range series {
		for _, x := range points {
			n := int(math.Round((x.at - float64(end.Add(-askedFor).Unix())) / recentStep.Seconds()))
			if n >= 0 && n < len(samples) {
				set[i](&samples[n], float32(x.value))
				known++
			}
		}
	}
	if known == 0 {
		return nil, errNoSeries
	}
	return samples, nil
}

// get fetches the answer to one query.
func (p *past) get(ctx context.Context, address string) ([]point, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := p.client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("no answer within %s", askPatience)
		}
		if around, ok := errors.AsType[*url.Error](err); ok {
			err = around.Err // the outer error repeats the whole query
		}
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("no answer within %s", askPatience)
	case err != nil:
		return nil, err
	case len(body) > mostAnswer:
		return nil, fmt.Errorf("an answer of more than %d bytes", mostAnswer)
	}
	return pointsOf(response.StatusCode, body)
}

// point is a value of a series; at is in Unix seconds.
type point struct{ at, value float64 }

// mostDrawn is the largest value that a chart draws.
const mostDrawn = 1e30

// pointsOf reads the answer to a range query that has one series, or none.
func pointsOf(status int, body []byte) ([]point, error) {
	var a struct {
		Status string `json:"status"`
		Error  string `json:"error"`
		Data   struct {
			Type   string `json:"resultType"`
			Result []struct {
				Values [][2]any `json:"values"`
			} `json:"result"`
		} `json:"data"`
	}
	err := json.Unmarshal(body, &a)
	switch {
	case err == nil && a.Status == "error":
		return nil, fmt.Errorf("status %d: %s", status, cut(most, a.Error))
	case status != http.StatusOK:
		return nil, fmt.Errorf("status %d, expected 200", status)
	case err != nil || a.Status != "success" || a.Data.Type != "matrix" || len(a.Data.Result) > 1:
		return nil, fmt.Errorf("expected the series of a query, got %q", cut(60, string(body)))
	}
	var points []point
	for _, series := range a.Data.Result {
		for _, pair := range series.Values {
			at, numeric := pair[0].(float64)
			text, _ := pair[1].(string)
			v, err := strconv.ParseFloat(text, 64)
			if !numeric || err != nil {
				return nil, fmt.Errorf("expected a time and a value, got %v", cut(60, fmt.Sprint(pair)))
			}
			if !math.IsNaN(v) && math.Abs(v) < mostDrawn { // a gap otherwise
				points = append(points, point{at, v})
			}
		}
	}
	return points, nil
}
