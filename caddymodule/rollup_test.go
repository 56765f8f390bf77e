package caddymodule

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/memstore"
)

func total(steps []uint32) (n uint32) {
	for _, step := range steps {
		n += step
	}
	return n
}

func TestRollupCountsBySteps(t *testing.T) {
	r := newRollup()
	begin := time.Unix(1_700_000_000/86400*86400, 0)
	for minute := range 120 {
		at := begin.Add(time.Duration(minute) * time.Minute)
		r.request("s", resultAccepted, at, 2*time.Millisecond)
		if minute%2 == 0 {
			r.request("s", resultRefused, at, 0)
		}
		r.request("s", resultHandshake, at, 0)
	}
	n, took := r.of(rollupSource, "s").sums(begin.Unix()/60, 8, 15)
	if want := []uint32{15, 15, 15, 15, 15, 15, 15, 15}; !slices.Equal(n[countAccepted], want) {
		t.Errorf("accepted %v, want %v", n[countAccepted], want)
	}
	if got := total(n[countRefused]); got != 60 {
		t.Errorf("refused %d, want 60", got)
	}
	if got := quantiles(took, 0.5, 0.99); got[0] < 1.6 || got[0] > 2.4 || got[1] != got[0] {
		t.Errorf("quantiles of 2 ms: %v", got)
	}
	// a day later, the same places of the ring are about other minutes
	r.request("s", resultAccepted, begin.Add(24*time.Hour), time.Millisecond)
	if n, _ = r.of(rollupSource, "s").sums(begin.Unix()/60, 8, 15); total(n[countAccepted]) != 119 {
		t.Errorf("after a day %v", n[countAccepted])
	}
	// and what is older than the place's minute is not counted for it
	r.request("s", resultAccepted, begin, time.Millisecond)
	if n, _ = r.of(rollupSource, "s").sums((begin.Unix()+86400)/60, 1, 1); total(n[countAccepted]) != 1 {
		t.Errorf("the newer minute %v", n[countAccepted])
	}
}

func TestRollupQuantiles(t *testing.T) {
	var took [latencyBuckets]uint64
	for ms := 1; ms <= 1000; ms++ {
		took[latencyBucket(time.Duration(ms)*time.Millisecond)]++
	}
	for i, want := range []float64{500, 950, 990} {
		got := quantiles(took, 0.5, 0.95, 0.99)[i]
		if got < want*0.8 || got > want*1.25 {
			t.Errorf("quantile %d: %.0f ms, want about %.0f", i, got, want)
		}
	}
	if quantiles([latencyBuckets]uint64{}, 0.5) != nil {
		t.Error("quantile of nothing")
	}
	if got := latencyBucket(time.Hour); got != latencyBuckets-1 {
		t.Errorf("an hour is in bucket %d", got)
	}
}

// TestRollupIsBounded gives it more names and requests than it keeps.
func TestRollupIsBounded(t *testing.T) {
	r, at := newRollup(), time.Unix(1_700_000_000, 0)
	for i := range maxSeries + 10 {
		r.attempt(fmt.Sprint("d", i), true, at, time.Millisecond)
	}
	if len(r.series) != maxSeries {
		t.Errorf("%d series, want %d", len(r.series), maxSeries)
	}
	r.forget(at.Add(time.Minute).Unix() / 60)
	if len(r.series) != 0 {
		t.Errorf("%d series after all of them were to be forgotten", len(r.series))
	}
	for i := range maxChanges + 5 {
		r.breaker("d", breakerChange{At: at.Add(time.Duration(i) * time.Second), State: "open"})
	}
	if got := r.breakerChanges("d", time.Time{}); len(got) != maxChanges || !got[0].At.After(got[1].At) {
		t.Errorf("%d changes", len(got))
	}
	for i := range 2*requestsKept + 7 {
		r.log.add(loggedRequest{Result: resultAccepted, Status: i})
		if i%100 == 0 {
			r.log.add(loggedRequest{Result: resultRefused, Status: i})
		}
	}
	page, more := r.log.newest(0, 10*requestsKept, func(*loggedRequest) bool { return true })
	if more || len(page) != requestsKept+41 || page[0].Status != 2*requestsKept+6 {
		t.Errorf("%d requests are kept", len(page))
	}
	if !slices.IsSortedFunc(page, func(a, b loggedRequest) int { return int(b.Seq) - int(a.Seq) }) {
		t.Error("requests are out of order")
	}
}

// TestRollupOutlivesItsProcess saves and loads it.
func TestRollupOutlivesItsProcess(t *testing.T) {
	store := memstore.New(memstore.Options{})
	defer store.Close()
	k := keepRollup(store, zap.NewNop())
	at := now()
	for i := range 300 {
		k.request(fmt.Sprint("source ", i), resultAccepted, at, 3*time.Millisecond)
		k.log.add(loggedRequest{At: at, Source: "s", Result: resultAccepted, Event: queue.ID(i + 1), EventID: fmt.Sprintf("%0200d", i)})
	}
	k.attempt("d", false, at, 4*time.Second)
	k.died("d", at)
	k.breaker("d", breakerChange{At: at.UTC().Round(0), State: "open"})
	k.close()
	entries := 0
	if err := store.ListMeta(t.Context(), metaRequests, "", func(string, []byte) bool { entries++; return true }); err != nil || entries < 2 {
		t.Fatalf("%d entries of requests: %v", entries, err)
	}

	k = keepRollup(store, zap.NewNop())
	from := at.Unix()/60 - 5
	for i := range 300 {
		n, took := k.of(rollupSource, fmt.Sprint("source ", i)).sums(from, 1, 10)
		if total(n[countAccepted]) != 1 || quantiles(took, 0.5) == nil {
			t.Fatalf("source %d after loading: %v", i, n)
		}
	}
	n, _ := k.of(rollupDestination, "d").sums(from, 1, 10)
	if total(n[countFailed]) != 1 || total(n[countDead]) != 1 || total(n[countDelivered]) != 0 {
		t.Errorf("destination after loading: %v", n)
	}
	if got := k.breakerChanges("d", at.Add(-time.Hour)); len(got) != 1 || got[0].State != "open" || !got[0].At.Equal(at) {
		t.Errorf("breaker after loading: %v", got)
	}
	page, _ := k.log.newest(0, 1000, func(e *loggedRequest) bool { return e.Source == "s" })
	if len(page) != 300 || page[0].Event != 300 || page[299].Event != 1 {
		t.Errorf("%d requests after loading", len(page))
	}
	// what happened a day ago leaves the store
	old := (at.Unix()/3600 - 30)
	if err := store.PutMeta(t.Context(), fmt.Sprintf("%s%010d/000", metaRollup, old), []byte("[]")); err != nil {
		t.Fatal(err)
	}
	k.close()
	if _, err := store.Meta(t.Context(), fmt.Sprintf("%s%010d/000", metaRollup, old)); err == nil {
		t.Error("an old hour is still there")
	}
}

func TestAdminSeriesAndRequests(t *testing.T) {
	eachStore(t, func(t *testing.T, store string) {
		rig, options, site := startOperated(t, store)
		rig.send("/pay", "evt_1", "charge.failed", "")
		rig.send("/pay", "evt_1", "charge.failed", "")
		rig.do("POST", "/pay", nil, "{}")
		rig.settledAll("good")
		rig.settledAll("bad")
		rig.reload(options, site) // nothing of it is lost
		for _, span := range []string{"", "?span=1h", "?span=6h", "?source=payments"} {
			s := get[seriesView](rig, "/webhooks/series"+span)
			p := s.Sources["payments"]
			if total(p.Accepted) != 1 || total(p.Duplicate) != 1 || total(p.Refused) != 1 || len(p.AckMS) != 3 || len(p.Accepted) != s.Steps {
				t.Errorf("%s: payments: %+v", span, p)
			}
			good, bad := s.Destinations["good"], s.Destinations["bad"]
			if span != "?source=payments" && (total(good.Delivered) != 1 || total(bad.Failed) != 1 || total(bad.Dead) != 1 || len(bad.AttemptMS) != 3) {
				t.Errorf("%s: %+v %+v", span, good, bad)
			}
		}
		rig.refused("GET", "/webhooks/series?span=1y", nil, 400, "bad_request")

		page := get[requestPage](rig, "/webhooks/requests?source=payments")
		var results []string
		for _, r := range page.Requests {
			results = append(results, r.Result)
		}
		if !slices.Equal(results, []string{"refused", "duplicate", "accepted"}) || page.Requests[0].Reason != "unsigned" || page.Requests[0].Status != 401 ||
			page.Requests[1].Event != page.Requests[2].Event || page.Requests[2].EventID != "evt_1" {
			t.Errorf("requests: %+v", page)
		}
		first := get[requestPage](rig, "/webhooks/requests?source=payments&limit=2")
		rest := get[requestPage](rig, "/webhooks/requests?source=payments&limit=2&cursor="+first.Next)
		if len(first.Requests) != 2 || len(rest.Requests) != 1 || rest.Next != "" || rest.Requests[0].Result != "accepted" {
			t.Errorf("pages: %+v, %+v", first, rest)
		}
		if got := get[requestPage](rig, "/webhooks/requests?result=duplicate,refused&reason=unsigned&source=payments"); len(got.Requests) != 1 {
			t.Errorf("filtered: %+v", got)
		}
		rig.refused("GET", "/webhooks/requests?result=odd", nil, 400, "bad_request")
		rig.refused("GET", "/webhooks/requests?cursor=!", nil, 400, "bad_request")
	})
}

func TestAdminTests(t *testing.T) {
	rig, _, _ := startOperated(t, "memory")
	sent := postJSON[testSendView](rig, "/webhooks/sources/payments/test?type=charge.succeeded", nil)
	if sent.Result != resultAccepted || sent.Status != 200 || sent.Event == 0 || sent.Type == "" {
		t.Errorf("sent: %+v", sent)
	}
	rig.settledAll("good")
	if e := get[eventDetail](rig, "/webhooks/events/"+sent.Event.String()); e.EventID != sent.EventID || e.SecretIndex == nil {
		t.Errorf("event: %+v", e)
	}
	rig.refused("POST", "/webhooks/sources/none/test", nil, 404, "not_found")
	rig.refused("POST", "/webhooks/sources/payments/test?type=no.such", nil, 409, "cannot_try")
	if got := postJSON[trialView](rig, "/webhooks/destinations/good/test", nil); !got.Delivered || got.Status != 200 {
		t.Errorf("good: %+v", got)
	}
	if got := postJSON[trialView](rig, "/webhooks/destinations/bad/test", nil); got.Delivered || got.Status != 500 || got.Class != "status" || got.Response == "" {
		t.Errorf("bad: %+v", got)
	}
	rig.settledAll("bad") // the example is one of those that go there
	if got := get[destinationView](rig, "/webhooks/destinations/bad"); got.Dead != 1 || got.Pending != 0 {
		t.Errorf("a test left something behind: %+v", got)
	}
	rig.refused("POST", "/webhooks/destinations/none/test", nil, 404, "unknown_destination")
	if page := get[auditPage](rig, "/webhooks/audit"); page.Entries[0].Action != "test_destination" {
		t.Errorf("audit: %+v", page.Entries)
	}
}

// BenchmarkRollup is what a request pays for the charts and the log of requests.
func BenchmarkRollup(b *testing.B) {
	r, at := newRollup(), now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.request("s", resultAccepted, at, time.Millisecond)
			r.log.add(loggedRequest{At: at, Source: "s", Provider: "stripe", Result: resultAccepted, Status: 200, EventID: "evt_1", Type: "invoice.paid"})
			r.attempt("d", true, at, time.Millisecond)
		}
	})
}

// BenchmarkSeries is what the overview pays for its charts, with as many names as there may be.
func BenchmarkSeries(b *testing.B) {
	r, at := newRollup(), now()
	for i := range maxSeries {
		for m := range rollupMinutes {
			r.attempt(fmt.Sprint("d", i), true, at.Add(-time.Duration(m)*time.Minute), time.Millisecond)
		}
	}
	g := &gateway{rt: &runtime{rollup: &rollupKeeper{rollup: r}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Series("24h", "", ""); err != nil {
			b.Fatal(err)
		}
	}
}
