package healer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/go-kit/log/level"
)

const (
	outsidePatience = 5 * time.Second
	outsideMost     = 1 << 20 // bytes of an answer
)

// outside is the newest answer of the gate outside the program, with what was asked.
type outside struct {
	asked  External
	answer ExternalAnswer
}

// askOutside asks the gate outside the program, if there is one. It takes its time, so
// it is not for the owner.
func (h *Healer) askOutside(ctx context.Context) (outside, error) {
	asked := h.config.Policy().External
	err := h.ask(ctx, "asking outside", func(context.Context) error {
		if h.policy != nil { // a new one may have been refused
			asked = h.policy.External
		}
		return nil
	})
	if err != nil {
		return outside{}, err
	}
	return h.askGate(ctx, asked), nil
}

func (h *Healer) askGate(ctx context.Context, asked External) outside {
	o := outside{asked: asked}
	if asked.Query == "" {
		return o
	}
	o.answer.Asked = true
	closed, err := askPrometheus(ctx, h.prometheus, &o.asked)
	if err != nil {
		o.answer.Err = clip(err.Error())
		if ctx.Err() == nil {
			h.metrics.gateErrors.Inc()
		}
		return o
	}
	o.answer.Open, o.answer.Detail = closed == "", closed
	return o
}

// heard takes in what the gate outside said. Only the owner may call it.
func (h *Healer) heard(o outside) {
	switch before := h.outside.answer.Err; {
	case o.answer.Err != "" && before == "":
		level.Error(h.logger).Log("msg", "the external gate cannot be asked", "err", o.answer.Err, "on_error", o.asked.OnError)
	case o.answer.Err == "" && before != "":
		level.Info(h.logger).Log("msg", "the external gate answers again")
	}
	h.outside = o
}

// external is what the gate outside said, if it was asked what the policy in force asks.
func (h *Healer) external() ExternalAnswer {
	if h.policy == nil || h.outside.asked != h.policy.External {
		return ExternalAnswer{}
	}
	return h.outside.answer
}

func newPrometheusClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		DisableKeepAlives: true, // it is asked once a minute
	}}
}

// askPrometheus says what keeps the gate closed: any series that the query returns.
// Nothing does if it is empty.
func askPrometheus(ctx context.Context, client *http.Client, e *External) (closed string, err error) {
	base, err := url.Parse(e.Prometheus)
	if err != nil {
		return "", errors.New("the address of Prometheus is none")
	}
	ctx, cancel := context.WithTimeout(ctx, outsidePatience)
	defer cancel()
	at := base.JoinPath("api/v1/query")
	at.RawQuery = url.Values{"query": {e.Query}, "timeout": {outsidePatience.String()}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return "", fmt.Errorf("Prometheus at %s: %w", base.Host, err)
	}
	response, err := client.Do(request)
	if err != nil {
		if around, ok := errors.AsType[*url.Error](err); ok {
			err = around.Err // it repeats the whole query
		}
		return "", fmt.Errorf("Prometheus at %s: %w", base.Host, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, outsideMost+1))
	if err == nil {
		closed, err = readPrometheus(response.StatusCode, body)
	}
	if err != nil {
		return "", fmt.Errorf("Prometheus at %s: %w", base.Host, err)
	}
	return closed, nil
}

// readPrometheus reads an answer. What is too long for one that says that all is well
// keeps the gate closed, whatever it is.
func readPrometheus(status int, body []byte) (closed string, err error) {
	if status == http.StatusOK && len(body) > outsideMost {
		return fmt.Sprintf("an answer of more than %d bytes", outsideMost), nil
	}
	var a struct {
		Status   string   `json:"status"`
		Error    string   `json:"error"`
		Warnings []string `json:"warnings"`
		Data     struct {
			Type   string          `json:"resultType"`
			Result json.RawMessage `json:"result"`
		} `json:"data"`
	}
	wrong := json.Unmarshal(body, &a)
	switch {
	case wrong == nil && a.Status == "error":
		return "", fmt.Errorf("status %d: %s", status, clip(a.Error))
	case status != http.StatusOK:
		return "", fmt.Errorf("status %d, expected 200", status)
	case wrong != nil:
		return "", fmt.Errorf("expected the answer to a query, got %q", clip(string(body)))
	case a.Status != "success" || a.Data.Type == "" || len(a.Data.Result) == 0 || a.Data.Result[0] != '[':
		return "", fmt.Errorf("expected the result of a query, got %q", clip(string(body)))
	case a.Data.Type != "vector" && a.Data.Type != "matrix":
		return "", fmt.Errorf("expected a query that returns series, got a %s", clip(a.Data.Type))
	}
	var series []struct {
		Metric map[string]string `json:"metric"`
	}
	if err := json.Unmarshal(a.Data.Result, &series); err != nil {
		return "", fmt.Errorf("expected series, got %q", clip(string(a.Data.Result)))
	}
	switch n := len(series); {
	case n > 0:
		labels := series[0].Metric
		return fmt.Sprintf("%d series, such as %s", n, clip(cmp.Or(labels["alertname"], labels["__name__"], fmt.Sprint(labels)))), nil
	case len(a.Warnings) > 0: // some of what it knows may be missing
		return "", fmt.Errorf("no series, but a warning: %s", clip(a.Warnings[0]))
	}
	return "", nil
}

// clip makes what somebody else wrote fit for a line of a table.
func clip(s string) string {
	const most = 200
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text(s[:min(len(s), 4*most)]))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		s = text(s[:most]) + "…"
	}
	return s
}
