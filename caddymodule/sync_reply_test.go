package caddymodule

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestSynchronousAnswerIsTheEventsOwn sends two events with the same id at once. The one that comes first is answered last.
func TestSynchronousAnswerIsTheEventsOwn(t *testing.T) {
	secondSent, secondAnswered := make(chan struct{}), make(chan struct{})
	app := startApplication(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"n":1`) {
			close(secondSent)
			<-secondAnswered
		}
		_, _ = w.Write(body)
	})
	g := startGateway(t, "", fmt.Sprintf("webhook none {\n unsigned_ok\n event_id json:id\n dedup by json:n\n ack sync 20s\n deadline 30s\n forward %s {\n format original\n}\n}", app.URL))
	send := func(n int) {
		body := fmt.Sprintf(`{"id":"same","n":%d}`, n)
		if _, answer := g.do(http.MethodPost, "/", http.Header{"Content-Type": {"application/json"}}, body); answer != body {
			t.Errorf("%s is answered with %q", body, answer)
		}
	}
	var first sync.WaitGroup
	first.Go(func() { send(1) })
	<-secondSent
	send(2)
	close(secondAnswered)
	first.Wait()
}

// TestSynchronousAnswerOfAnotherDestination checks that a destination's failure does not end the wait for the others, and that the last failure does.
func TestSynchronousAnswerOfAnotherDestination(t *testing.T) {
	failed := make(chan struct{})
	app := startApplication(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/good" {
			<-failed
			_, _ = io.WriteString(w, "good")
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	})
	const source = "handle /%[1]s {\n webhook none {\n name %[1]s\n unsigned_ok\n ack sync 20s\n ack 202 queued\n deadline 30s\n forward %[2]s/bad {\n retry none\n}\n forward %[2]s/%[3]s {\n retry none\n}\n}\n}\n"
	g := startGateway(t, "", fmt.Sprintf(source, "all", app.URL, "worse")+fmt.Sprintf(source, "one", app.URL, "good"))
	if resp, answer := g.do(http.MethodPost, "/all", nil, "x"); resp.StatusCode != http.StatusAccepted || answer != "queued" {
		t.Errorf("all have failed: %d %q", resp.StatusCode, answer)
	}
	var provider sync.WaitGroup
	provider.Go(func() {
		if resp, answer := g.do(http.MethodPost, "/one", nil, "x"); resp.StatusCode != http.StatusOK || answer != "good" {
			t.Errorf("one has failed: %d %q", resp.StatusCode, answer)
		}
	})
	app.await(t, 4)
	eventually(t, "the failure is known", func() bool {
		stats, err := runningStore(t).Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var dead uint64
		for _, d := range stats.Destinations {
			dead += d.Dead
		}
		return dead == 3
	})
	close(failed)
	provider.Wait()
}

// TestProvidersEncodingsAreNotAskedFor checks that an application is not asked for answers that only the provider could read.
func TestProvidersEncodingsAreNotAskedFor(t *testing.T) {
	app := startApplication(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "" {
			t.Errorf("asked for %q", got)
		}
		w.Header().Set("Content-Encoding", "gzip")
		packed := gzip.NewWriter(w)
		_, _ = io.WriteString(packed, "plain")
		_ = packed.Close()
	})
	g := startGateway(t, "", fmt.Sprintf("webhook none {\n unsigned_ok\n ack sync 20s\n deadline 30s\n forward %s {\n format original\n}\n}", app.URL))
	resp, answer := g.do(http.MethodPost, "/", http.Header{"Accept-Encoding": {"gzip, br"}}, "x")
	if resp.StatusCode != http.StatusOK || answer != "plain" || resp.Header.Get("Content-Encoding") != "" {
		t.Errorf("%d %q %v", resp.StatusCode, answer, resp.Header)
	}
}
