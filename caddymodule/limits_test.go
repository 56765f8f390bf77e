package caddymodule

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// TestLimitsAreTheDestinations sends through two sources to one destination, and reloads in the middle: its concurrency and its rate are one for all, and go on.
func TestLimitsAreTheDestinations(t *testing.T) {
	const concurrency, rate, burst, each = 2, 40, 4, 25
	var mu sync.Mutex
	inside, most := 0, 0
	app := startApplication(t, func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		inside++
		most = max(most, inside)
		mu.Unlock()
		<-time.After(20 * time.Millisecond)
		mu.Lock()
		inside--
		mu.Unlock()
	})
	options := fmt.Sprintf("destination d {\n to %s\n concurrency %d\n rate %d/s %d\n}", app.URL, concurrency, rate, burst)
	site := ""
	for _, name := range []string{"one", "two"} {
		site += fmt.Sprintf("handle /%[1]s {\n webhook stripe {\n name %[1]s\n secret %[2]s\n dedup off\n forward d\n}\n}\n", name, testSecret)
	}
	g := startGateway(t, options, site)
	for i := range each {
		sendStripe(t, g, "/one")
		sendStripe(t, g, "/two")
		if i%10 == 5 {
			if err := g.load(options+fmt.Sprintf("\ndestination unused%d {\n to %s\n}", i, app.URL), site); err != nil {
				t.Fatal(err)
			}
			http.DefaultClient.CloseIdleConnections() // the old server ends them
		}
	}
	got := app.await(t, 2*each)
	// Attempts start as the rate says; that they arrive takes them a moment more or less.
	const slack = 4
	for i := range got {
		n := 0
		for _, r := range got[i:] {
			if r.at.Sub(got[i].at) < 500*time.Millisecond {
				n++
			}
		}
		if limit := rate/2 + burst + slack; n > limit {
			t.Errorf("%d requests within half a second, want at most %d", n, limit)
			break
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if most > concurrency {
		t.Errorf("%d requests at once, want at most %d", most, concurrency)
	}
}

// TestBreakerSurvivesReload opens a destination's breaker and reloads: no attempt is spent on it.
func TestBreakerSurvivesReload(t *testing.T) {
	app := startApplication(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	options := "destination d {\n to " + app.URL + "\n breaker 1 1h\n retry exponential 1ms 1ms\n}"
	site := "webhook stripe {\n secret " + testSecret + "\n dedup off\n forward d\n}"
	g := startGateway(t, options, site)
	sendStripe(t, g, "/")
	_, attempts := onlyDelivery(t, "d", func(d queue.Delivery) bool { return d.Attempts > 0 && d.State == queue.StatePending })
	spent := len(attempts)
	if err := g.load(strings.Replace(options, "1ms 1ms", "1ms 2ms", 1), site); err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections() // the old server ends them
	sendStripe(t, g, "/")
	store := runningStore(t)
	eventually(t, "second event", func() bool {
		page, err := store.Events(t.Context(), queue.Filter{States: []queue.State{queue.StatePending}})
		return err == nil && len(page.Events) == 2
	})
	if n := len(app.all()); n != spent {
		t.Errorf("%d attempts after %d, though the breaker is open", n, spent)
	}
}
