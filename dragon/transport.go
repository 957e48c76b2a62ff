package dragon

import (
	"net"
	"net/http"
	"time"
)

// ConnectTimeout is how long the transport of NewTransport waits for a connection:
// long enough for a second SYN after the first went while the address was resolved.
const ConnectTimeout = 2 * time.Second

// NewTransport returns a transport for many dragons: one connection to each is kept
// open between requests, for less than the 120 s after which the device closes it
// (recorded and vendor nginx.conf). It uses no proxy, and a Client follows no redirect.
// It is safe to share and meant to be.
func NewTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: ConnectTimeout, KeepAlive: 30 * time.Second, FallbackDelay: -1}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        100 * time.Second,
		MaxResponseHeaderBytes: 16 << 10,
		ReadBufferSize:         2 << 10, // each connection has one of its own, and a farm has ten thousand
		WriteBufferSize:        512,
	}
}

// fresh returns a transport that opens a connection for each request. Writes go this
// way: a kept connection that has died in the meantime would leave it unknown whether
// a reboot was sent.
func fresh(rt http.RoundTripper) http.RoundTripper {
	t, ok := rt.(*http.Transport)
	if !ok {
		return rt
	}
	t = t.Clone()
	t.DisableKeepAlives = true
	return t
}
