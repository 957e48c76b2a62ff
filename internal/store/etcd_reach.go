package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// healthWithin is how long an etcd server that has not answered is asked for its health.
const healthWithin = time.Second

// unreached says why servers do not answer; empty: they are well. Of a connection that cannot be made, as without
// a server or with a certificate that has expired, the client says only that it took too long.
func (c *EtcdConfig) unreached(ctx context.Context) string {
	transport := &http.Transport{TLSClientConfig: c.TLS.Clone(), DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: healthWithin}
	reasons := make([]string, len(c.Endpoints))
	var asked sync.WaitGroup
	for i, endpoint := range c.Endpoints {
		asked.Go(func() {
			if err := health(ctx, client, endpoint); err != nil {
				reasons[i] = fmt.Sprintf("%s: %v", endpoint, err)
			}
		})
	}
	asked.Wait()
	return strings.Join(slices.DeleteFunc(reasons, func(s string) bool { return s == "" }), "; ")
}

func health(ctx context.Context, client *http.Client, endpoint string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/health", http.NoBody)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		failed := (*url.Error)(nil)
		if errors.As(err, &failed) {
			return failed.Err
		}
		return err
	}
	defer answer.Body.Close()
	says, err := io.ReadAll(io.LimitReader(answer.Body, 200))
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return cmp.Or(err, fmt.Errorf("%s %s", answer.Status, says))
}
