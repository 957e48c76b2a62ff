// Package gate asks a Prometheus whether the healer may act.
package gate

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

	"github.com/prometheus/common/model"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

const (
	timeout = 5 * time.Second
	most    = 1 << 20 // bytes of an answer
)

// Prometheus asks the query of a policy's External.
type Prometheus struct{ client *http.Client }

// New returns a Prometheus.
func New() *Prometheus {
	return &Prometheus{&http.Client{Transport: &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		DisableKeepAlives: true, // one request a minute
	}}}
}

// Ask returns why the gate is closed: the series that the query returned. Empty: it is open.
func (p *Prometheus) Ask(ctx context.Context, e healer.External) (closed string, err error) {
	base, err := url.Parse(e.Prometheus)
	if err != nil {
		return "", errors.New("invalid address of Prometheus")
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	at := base.JoinPath("api/v1/query")
	at.RawQuery = url.Values{"query": {e.Query}, "timeout": {timeout.String()}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return "", fmt.Errorf("Prometheus at %s: %w", base.Host, err)
	}
	response, err := p.client.Do(request)
	if err != nil {
		if around, ok := errors.AsType[*url.Error](err); ok {
			err = around.Err // the outer error repeats the whole query
		}
		return "", fmt.Errorf("Prometheus at %s: %w", base.Host, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	if err == nil {
		closed, err = read(response.StatusCode, body)
	}
	if err != nil {
		return "", fmt.Errorf("Prometheus at %s: %w", base.Host, err)
	}
	return closed, nil
}

// read reads an answer. An answer that is too long keeps the gate closed, because one without
// series is short.
func read(status int, body []byte) (closed string, err error) {
	if status == http.StatusOK && len(body) > most {
		return fmt.Sprintf("an answer of more than %d bytes", most), nil
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
		Metric model.Metric `json:"metric"`
	}
	if err := json.Unmarshal(a.Data.Result, &series); err != nil {
		return "", fmt.Errorf("expected series, got %q", clip(string(a.Data.Result)))
	}
	switch n := len(series); {
	case n > 0:
		first := series[0].Metric
		return fmt.Sprintf("%d series, such as %s", n, clip(cmp.Or(string(first[model.AlertNameLabel]), first.String()))), nil
	case len(a.Warnings) > 0: // the result may be incomplete
		return "", fmt.Errorf("no series, but a warning: %s", clip(a.Warnings[0]))
	}
	return "", nil
}

// clip shortens an external text to a line of a table.
func clip(s string) string {
	const longest = 200
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return ' '
	}, s[:min(len(s), 4*longest)])
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return s
}
