package caddymodule

import (
	"net/http"
	"testing"

	"github.com/sluice-webhooks/sluice/queue"
)

// TestDedupByKeepsEventsApart sends requests and counts the events that are stored: what a configured key does not tell apart, the provider's own does.
func TestDedupByKeepsEventsApart(t *testing.T) {
	type request struct{ req, part, body string }
	for name, c := range map[string]struct {
		options  string
		requests []request
		stored   int
	}{
		"elements by a header": {
			"split\n elements @this\n dedup by header:X-Req", []request{{"r1", "", `[{"id":"a"},{"id":"b"},{"id":"c"}]`}, {"r1", "", `[{"id":"a"},{"id":"b"},{"id":"c"}]`}}, 3,
		},
		"elements by what some lack": {
			"split\n elements @this\n dedup by json:key || header:X-Req", []request{{"r1", "", `[{"id":"a","key":"k"},{"id":"b"},{"id":"c"},{"id":"d","key":"k"}]`}}, 3,
		},
		"elements by a header and their own": {
			"split\n elements @this\n dedup by header:X-Req json:id", []request{{"r1", "", `[{"id":"a"},{"id":"b"}]`}, {"r2", "", `[{"id":"a"}]`}}, 3,
		},
		"a batch as a whole": {
			"dedup by header:X-Req", []request{{"r1", "", `[{"id":"a"}]`}, {"r1", "", `[{"id":"b"}]`}}, 1,
		},
		"a part is missing": {
			"dedup by json:id header:X-Part", []request{{"", "p", `{"id":""}`}, {"", "p", `{}`}, {"", "p", `{"n":1}`}, {"", "p", `{}`}}, 3,
		},
		"no part is missing": {
			"dedup by json:id header:X-Part", []request{{"", "p", `{"id":"a"}`}, {"", "p", `{"id":"a","n":2}`}, {"", "q", `{"id":"a"}`}}, 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := startGateway(t, "", "webhook none {\n unsigned_ok\n event_id json:id\n "+c.options+"\n}")
			for _, r := range c.requests {
				header := http.Header{"Content-Type": {"application/json"}, "X-Req": {r.req}, "X-Part": {r.part}}
				if resp, answer := g.do(http.MethodPost, "/", header, r.body); resp.StatusCode != http.StatusOK {
					t.Fatalf("%d %s", resp.StatusCode, answer)
				}
			}
			page, err := runningStore(t).Events(t.Context(), queue.Filter{})
			if err != nil || len(page.Events) != c.stored {
				t.Errorf("%d events are stored, want %d (%v)", len(page.Events), c.stored, err)
			}
		})
	}
}

// TestNothingTellsARetry sends the same bodies twice, of which some have what tells a retry from a new event.
func TestNothingTellsARetry(t *testing.T) {
	const (
		commit = `{"event":{"action":"update"},"updatedRefs":[{"newSha":"1"}]}`
		config = `{"event":{"action":"update"},"repo":{"private":true}}`
	)
	for name, c := range map[string]struct {
		options string
		stored  int
	}{
		"the provider's key":         {"", 3},
		"a key that only some have":  {"dedup by json:repo.private header:X-None", 3},
		"a key that the others have": {"dedup by json:repo.private", 2},
		"an id of the operator's":    {"event_id json:event.action", 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := startGateway(t, "", "webhook huggingface {\n secret sesame\n "+c.options+"\n}")
			for _, body := range []string{commit, config, commit, config} {
				if resp, answer := g.do(http.MethodPost, "/", http.Header{"X-Webhook-Secret": {"sesame"}}, body); resp.StatusCode != http.StatusOK {
					t.Fatalf("%d %s", resp.StatusCode, answer)
				}
			}
			page, err := runningStore(t).Events(t.Context(), queue.Filter{})
			if err != nil || len(page.Events) != c.stored {
				t.Errorf("%d events are stored, want %d (%v)", len(page.Events), c.stored, err)
			}
		})
	}
}
