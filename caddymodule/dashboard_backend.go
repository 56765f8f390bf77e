package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/sluice-webhooks/sluice/caddymodule/dashboard"
)

// dashboardBackend gives the dashboard the admin API, without a network in between: what the one can do, the other can.
type dashboardBackend struct {
	mux *http.ServeMux
}

func newDashboardBackend() *dashboardBackend {
	return &dashboardBackend{mux: newAdminMux()}
}

// actorKey is the context key of who makes a call that comes from inside of this process.
type actorKey struct{}

// Call implements [dashboard.Backend].
func (b *dashboardBackend) Call(ctx context.Context, call dashboard.Call) (dashboard.Answer, error) {
	var body io.Reader = bytes.NewReader(call.Raw)
	if call.Body != nil {
		raw, err := json.Marshal(call.Body)
		if err != nil {
			return dashboard.Answer{}, fmt.Errorf("encoding the request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	address, err := url.Parse(adminPrefix + call.Path)
	if err != nil {
		return dashboard.Answer{}, fmt.Errorf("building the request: %w", err)
	}
	address.RawQuery = call.Query.Encode()
	r, err := http.NewRequestWithContext(context.WithValue(ctx, actorKey{}, call.User), call.Method, address.String(), body)
	if err != nil {
		return dashboard.Answer{}, fmt.Errorf("building the request: %w", err)
	}
	w := &callRecorder{header: http.Header{}, status: http.StatusOK}
	b.mux.ServeHTTP(w, r)
	return dashboard.Answer{Status: w.status, Header: w.header, Body: w.body.Bytes()}, nil
}

// callRecorder keeps an answer.
type callRecorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *callRecorder) Header() http.Header         { return w.header }
func (w *callRecorder) WriteHeader(status int)      { w.status = status }
func (w *callRecorder) Write(p []byte) (int, error) { return w.body.Write(p) }

var _ dashboard.Backend = (*dashboardBackend)(nil)
