package caddymodule

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// TestBodiesArriveWhole forwards bodies of some sizes, and none.
func TestBodiesArriveWhole(t *testing.T) {
	app := startApplication(t, nil)
	g := startGateway(t, "", "webhook github {\n secret "+testSecret+"\n dedup off\n forward "+app.URL+" {\n  format original\n }\n}")
	scheme := provider(t, "github")
	var sent [][]byte
	for i, size := range []int{0, 1 << 10, 64 << 10, 300 << 10} {
		body := []byte(`{"action":"` + strings.Repeat("x", size) + `"}`)
		r := &verifiers.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "http", Host: g.addr, Path: "/"}, Header: http.Header{}, Body: body, At: time.Now()}
		if err := scheme.Sign(r, verifiers.NewSecret([]byte(testSecret)), "", r.At); err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Incremental", "?1") // a wish for the first hop
		if resp, text := g.do(http.MethodPost, "/", r.Header, string(body)); resp.StatusCode != http.StatusOK {
			t.Fatalf("body %d: %d %s", i, resp.StatusCode, text)
		}
		sent = append(sent, body)
		received := app.await(t, i+1)[i]
		if !bytes.Equal(received.body, sent[i]) || received.header.Get("Incremental") != "" {
			t.Errorf("body %d of %d bytes arrived as %d bytes with %v", i, len(body), len(received.body), received.header)
		}
	}
}

// writes counts what is written to a connection.
type writes struct {
	net.Conn
	n int
}

func (w *writes) Write(b []byte) (int, error) {
	w.n++
	return w.Conn.Write(b)
}

// TestBodyGoesWithItsHeader looks whether a request that lies in memory takes one write, whatever reverse_proxy has wrapped its body in.
func TestBodyGoesWithItsHeader(t *testing.T) {
	app := startApplication(t, nil)
	conn := new(writes)
	inner := &http.Transport{DialContext: func(ctx context.Context, network, address string) (_ net.Conn, err error) {
		conn.Conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return conn, err
	}}
	defer inner.CloseIdleConnections()
	body := []byte(strings.Repeat("x", 3<<10))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, app.URL, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Body = io.NopCloser(io.MultiReader(req.Body))
	resp, err := (&sealedTransport{RoundTripper: inner}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if received := app.await(t, 1)[0]; !bytes.Equal(received.body, body) || conn.n != 1 {
		t.Errorf("%d bytes in %d writes", len(received.body), conn.n)
	}
}
