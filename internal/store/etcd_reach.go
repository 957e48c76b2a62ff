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

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
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

// onlyLed sends requests only to servers that have a leader: one without says so at once, and the next is asked. A
// server that is cut off from the others answers its clients, and would keep each request until it takes too long.
func onlyLed(servers int) []grpc.DialOption {
	unary := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) (err error) {
		for range 2 * servers {
			err = call(clientv3.WithRequireLeader(ctx), method, req, reply, cc, opts...)
			if !noLeader(err) || !pause(ctx) {
				break
			}
		}
		return err
	}
	stream := func(ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (
		grpc.ClientStream, error,
	) {
		s, err := open(clientv3.WithRequireLeader(ctx), d, cc, method, opts...)
		if err != nil {
			return nil, err
		}
		return leading{s}, nil
	}
	return []grpc.DialOption{grpc.WithChainUnaryInterceptor(unary), grpc.WithChainStreamInterceptor(stream)}
}

// leading is a stream whose errors come no faster than they are worth another try: KeepAliveOnce tries again
// by itself, without a pause.
type leading struct{ grpc.ClientStream }

func (s leading) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if noLeader(err) {
		pause(s.Context())
	}
	return err
}

// noLeader reports whether a server carried nothing out because it has no leader, or is only a learner.
func noLeader(err error) bool {
	why := rpctypes.ErrorDesc(err)
	return why == rpctypes.ErrorDesc(rpctypes.ErrGRPCNoLeader) || why == rpctypes.ErrorDesc(rpctypes.ErrGRPCNotSupportedForLearner)
}

// pause waits a moment, and reports whether ctx is not done.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(again):
		return true
	}
}
