package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// TestHostOfRequests sends two events to a destination of two addresses, which take turns.
func TestHostOfRequests(t *testing.T) {
	for name, c := range map[string]struct {
		provider, options string
		want              string // of both; empty: each its own
		first             bool   // both that of the first
	}{
		"own names":                      {provider: "square"},
		"own names, though a header is":  {provider: "square", options: "proxy {\n lb_policy round_robin\n header_up X-Y z\n}"},
		"signed without the address":     {provider: "stripe", options: "sign provider s"},
		"signed with the address":        {provider: "square", options: "sign provider s", first: true},
		"header":                         {provider: "square", options: "header Host app.example", want: "app.example"},
		"header of the proxy goes first": {provider: "square", options: "header Host app.example\n proxy {\n lb_policy round_robin\n header_up Host proxy.example\n}", want: "proxy.example"},
	} {
		t.Run(name, func(t *testing.T) {
			hosts := make(chan [2]string, 2)
			note := func(_ http.ResponseWriter, r *http.Request) {
				hosts <- [2]string{r.Host, r.Context().Value(http.LocalAddrContextKey).(fmt.Stringer).String()}
			}
			one, two := startApplication(t, note), startApplication(t, note)
			if !strings.Contains(c.options, "proxy {") {
				c.options += "\n proxy {\n lb_policy round_robin\n}"
			}
			g := startGateway(t, fmt.Sprintf("destination d {\n to %s %s\n %s\n}", one.URL, two.URL, c.options),
				"webhook "+c.provider+" {\n secret "+testSecret+"\n dedup off\n forward d\n}")
			for range 2 {
				if resp, answer := g.sendSigned(provider(t, c.provider), testSecret, "/", stripeEvent, time.Now()); resp.StatusCode != http.StatusOK {
					t.Fatalf("%d %s", resp.StatusCode, answer)
				}
			}
			one.await(t, 1)
			two.await(t, 1)
			for range 2 {
				got := <-hosts
				want := c.want
				switch {
				case c.first:
					want = one.Listener.Addr().String()
				case want == "":
					want = got[1]
				}
				if got[0] != want {
					t.Errorf("%s was asked for %s, want %s", got[1], got[0], want)
				}
			}
		})
	}
}

// TestChangedFileInHeaders changes a file that headers and credentials name with text around it.
func TestChangedFileInHeaders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%q", r.Header.Get("Authorization")) }))
	t.Cleanup(api.Close)
	enrich := &Enrich{URL: api.URL, Headers: map[string]string{"Authorization": "Bearer {file." + file + "}"}, Into: "key"}
	credentials, err := (&Auth{Bearer: "v1.{file." + file + "}"}).provision(zap.NewNop())
	if err := errors.Join(err, enrich.provision(zap.NewNop())); err != nil {
		t.Fatal(err)
	}
	d := &Destination{Headers: &headers.HeaderOps{Set: http.Header{"X-Key": {"Key {file." + file + "}"}}}}
	at := time.Now()
	for _, value := range []string{"one", "two"} {
		write(value)
		at = at.Add(2 * secretFileCheck)
		e, header := new(queue.Event), make(http.Header)
		body, err := enrich.request.apply(t.Context(), at, e, []byte(`{}`))
		if err := errors.Join(err, credentials.authorize(t.Context(), at, header)); err != nil {
			t.Fatal(err)
		}
		header = d.request(t.Context(), &delivery.Try{Event: e, At: at}, &message{url: new(url.URL), header: header}).Header
		if string(body) != `{"key":"Bearer `+value+`"}` || header.Get("Authorization") != "Bearer v1."+value || header.Get("X-Key") != "Key "+value {
			t.Errorf("%s: %s, %v", value, body, header)
		}
	}
}
