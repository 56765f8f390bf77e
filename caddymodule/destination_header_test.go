package caddymodule

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
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
