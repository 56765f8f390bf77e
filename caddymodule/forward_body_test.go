package caddymodule

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// TestBodiesArriveWhole forwards bodies below and above the size up to which they go out together with their header, and none.
func TestBodiesArriveWhole(t *testing.T) {
	app := startApplication(t, nil)
	g := startGateway(t, "", "webhook github {\n secret "+testSecret+"\n dedup off\n forward "+app.URL+" {\n  format original\n }\n}")
	scheme := provider(t, "github")
	var sent [][]byte
	for i, size := range []int{0, 1 << 10, bodyAtOnce - 12, bodyAtOnce - 11, bodyAtOnce, 300 << 10} {
		body := []byte(`{"action":"` + strings.Repeat("x", size) + `"}`)
		r := &verifiers.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "http", Host: g.addr, Path: "/"}, Header: http.Header{}, Body: body, At: time.Now()}
		if err := scheme.Sign(r, verifiers.NewSecret([]byte(testSecret)), "", r.At); err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Incremental", "?1") // a wish for the first hop: reverse_proxy, which buffers, would refuse to carry it on
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
