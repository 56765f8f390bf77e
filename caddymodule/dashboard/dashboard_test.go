package dashboard

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// fakeAPI answers calls by method and path, and notes them.
type fakeAPI struct {
	answers map[string]string
	calls   []Call
}

func (f *fakeAPI) Call(_ context.Context, c Call) (Answer, error) {
	f.calls = append(f.calls, c)
	body, ok := f.answers[c.Method+" "+c.Path]
	if !ok {
		return Answer{Status: http.StatusNotFound, Header: http.Header{}, Body: []byte(`{"status":404,"code":"not_found","detail":"none"}`)}, nil
	}
	return Answer{Status: http.StatusOK, Header: http.Header{"Webhook-Content-Type": {"application/json"}}, Body: []byte(body)}, nil
}

func (*fakeAPI) Live(http.ResponseWriter, *http.Request, string) {}

func serve(t *testing.T, api *fakeAPI, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	d, err := New(api)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r, Visit{Base: "/base", Path: strings.TrimPrefix(r.URL.Path, "/base"), User: "ada", Protected: true})
	return w
}

const hostile = `<script>alert(1)</script>'"&`

// TestEverythingIsEscaped puts markup wherever a stranger may put text.
func TestEverythingIsEscaped(t *testing.T) {
	api := &fakeAPI{answers: map[string]string{
		"GET sources": `{"sources":[]}`, "GET destinations": `{"destinations":[]}`,
		"GET events/wh_1": `{"id":"wh_1","event_id":` + quoteJSON(hostile) + `,"type":` + quoteJSON(hostile) + `,"subject":` + quoteJSON(hostile) + `,"method":"POST","url":"http://x/` + `","header":{"X-A":[` +
			quoteJSON(hostile) + `]},"deliveries":[{"destination":` + quoteJSON(hostile) + `,"state":"dead","history":[{"number":1,"class":"status","status":500,"error":` + quoteJSON(hostile) + `,"response":` + quoteJSON(hostile) + `}]}]}`,
		"GET events/wh_1/payload": `{"a":` + quoteJSON(hostile) + `,"` + `<b>":1}`,
		"GET requests":            `{"requests":[{"result":"accepted","event":"wh_1","type":` + quoteJSON(hostile) + `,"event_id":` + quoteJSON(hostile) + `,"client_ip":` + quoteJSON(hostile) + `}]}`,
		"GET quarantine":          `{"requests":[{"id":"rq_1","reason":"mismatch","error":` + quoteJSON(hostile) + `,"findings":[{"text":` + quoteJSON(hostile) + `}]}]}`,
		"GET audit":               `{"entries":[{"actor":` + quoteJSON(hostile) + `,"action":"pause","target":` + quoteJSON(hostile) + `,"detail":` + quoteJSON(hostile) + `}]}`,
	}}
	for _, path := range []string{"/events/wh_1", "/requests", "/quarantine", "/audit"} {
		w := serve(t, api, httptest.NewRequest(http.MethodGet, "/base"+path+"", nil))
		body := w.Body.String()
		if w.Code != http.StatusOK || !strings.Contains(body, "alert(1)") {
			t.Fatalf("%s: %d %s", path, w.Code, body)
		}
		if strings.Contains(body, "<script>alert") || strings.Contains(body, "<b>\"") {
			t.Errorf("%s has a stranger's markup in it", path)
		}
	}
}

func quoteJSON(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// TestCurlCommand runs what the page shows through a shell.
func TestCurlCommand(t *testing.T) {
	body := `{"it's":"$HOME ` + "`id`" + `"}`
	text := curlCommand(&EventDetail{Method: "POST", URL: "http://x/?a=b&c=d", Header: map[string][]string{"X-A": {"it's"}, "Host": {"no"}}}, &pane{Body: []byte(body), Size: len(body)})
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `curl() { for a in "$@"; do printf '%s\n' "$a"; done; }; `+text).Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := "-X\nPOST\nhttp://x/?a=b&c=d\n-H\nX-A: it's\n--data-binary\n" + body + "\n"; string(out) != want {
		t.Errorf("arguments are\n%swant\n%s", out, want)
	}
}

func TestHighlightKeepsTheText(t *testing.T) {
	tags := regexp.MustCompile(`</?span[^>]*>`)
	for _, text := range []string{`{}`, `{"a": -1.5e+3, "b\"c": [true, null, "x: \\"]}`, "[\n  1,\n  \"<&>\"\n]", `"open`} {
		got := tags.ReplaceAllString(string(highlight(text)), "")
		got = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&#34;", `"`, "&#39;", "'", "&amp;", "&").Replace(got)
		if got != text {
			t.Errorf("%s became %s", text, got)
		}
	}
}

func TestSparkline(t *testing.T) {
	if got := sparkline([]uint32{0, 4, 2}, []uint32{0, 0, 2}); strings.Count(string(got), "M") != 1+2+1 {
		t.Errorf("want a bar for each step with something in it: %s", got)
	}
	for _, empty := range [][]uint32{nil, {0, 0}} {
		if got := sparkline(empty, nil); strings.Count(string(got), "M") != 1 {
			t.Errorf("of nothing: %s", got)
		}
	}
}

func TestRates(t *testing.T) {
	steps := make([]uint32, 60)
	for i := range 5 {
		steps[58-i] = 12
	}
	steps[59] = 1000 // under way
	if got := perMinute(steps); got != 12 {
		t.Errorf("%v a minute, want 12", got)
	}
	if share(0, 0) != -1 || share(3, 1) != 0.75 || formatPercent(0.99999) != "99.9 %" {
		t.Error("share of nothing, or rounding up to all")
	}
}

func TestLinksKeepTheFilter(t *testing.T) {
	f := &filterForm{Values: url.Values{"source": {"a b"}, "state": {"dead", "held"}, "cursor": {"x"}}}
	if got := f.With("cursor", "y/z"); got != "cursor=y%2Fz&source=a+b&state=dead&state=held" {
		t.Errorf("next page: %s", got)
	}
	if got := f.With("state", "", "source", "b&c"); got != "source=b%26c" {
		t.Errorf("changed: %s", got)
	}
}

// TestPlannedIsWhatStarts plans with a time that was given as how long ago: the form has to name the moment.
func TestPlannedIsWhatStarts(t *testing.T) {
	api := &fakeAPI{answers: map[string]string{
		"GET sources": `{"sources":[]}`, "GET destinations": `{"destinations":[]}`,
		"POST replay": `{"request":{"filter":{"source":"s","since":"2026-01-02T03:04:05Z"}},"estimate":{"events":2,"deliveries":3,"complete":true,"destinations":{"d":3}}}`,
	}}
	body := serve(t, api, httptest.NewRequest(http.MethodGet, "/base/replay?source=s&since=24h&rate=0.5", nil)).Body.String()
	for _, want := range []string{`name="since" value="2026-01-02T03:04:05Z"`, `name="rate" value="0.5"`, "3 deliveries", "6 s at 0.5 a second", `action="/base/replay"`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is not in the plan", want)
		}
	}
	if last := api.calls[len(api.calls)-1]; last.Query.Get("since") != "24h" || last.Query.Has("rate") || last.User != "ada" {
		t.Errorf("the plan asked for %+v", last)
	}
}

func TestTimelineIsInOrder(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	e := &EventDetail{Event: Event{ReceivedAt: at, Deliveries: []Delivery{
		{Destination: "a", State: "pending", Due: at.Add(time.Hour), History: []Attempt{{Number: 1, At: at.Add(3 * time.Second)}}},
		{Destination: "b", State: "delivered", SettledAt: at.Add(2 * time.Second), History: []Attempt{{Number: 1, At: at.Add(time.Second)}}},
	}}}
	var got []string
	for _, s := range timeline(e) {
		got = append(got, s.Kind+" "+s.Destination)
	}
	if text := strings.Join(got, ","); text != "received ,attempt b,settled b,attempt a,next a" {
		t.Errorf("order: %s", text)
	}
}
