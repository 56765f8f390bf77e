package dashboard

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// fakeAPI answers calls by method and path, and notes them.
type fakeAPI struct {
	answers  map[string]string
	refusals map[string]string
	calls    []Call
}

func (f *fakeAPI) Call(_ context.Context, c Call) (Answer, error) {
	f.calls = append(f.calls, c)
	if detail, ok := f.refusals[c.Method+" "+c.Path]; ok {
		return Answer{Status: http.StatusBadRequest, Header: http.Header{}, Body: []byte(`{"status":400,"code":"bad_request","detail":` + quoteJSON(detail) + `}`)}, nil
	}
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

// TestPagesSayWhatIs looks for words that were untrue.
func TestPagesSayWhatIs(t *testing.T) {
	sources := func(more string) string {
		return `{"sources":[{"name":"pay","provider":"p","configured":true` + more + `}]}`
	}
	const destinations = `{"destinations":[{"name":"d","configured":true}]}`
	for name, c := range map[string]struct {
		path    string
		answers map[string]string
		want    []string
		not     []string
	}{
		"a destination that takes deliveries": {"/destinations", map[string]string{"GET destinations": destinations, "GET series": `{}`}, []string{`delivered">active<`}, []string{`">open<`}},
		"a delivery that is held": {
			"/events/wh_1", map[string]string{"GET events/wh_1": `{"id":"wh_1","deliveries":[{"destination":"gone","state":"held"}]}`, "GET events/wh_1/payload": "1"},
			[]string{"when its destination takes it"}, []string{"when it opens"},
		},
		"a source that masks": {
			"/source?name=pay", map[string]string{"GET sources": sources(`,"mask":["a.b","c"],"refused":{"too_large":3}`), "GET series": `{}`},
			[]string{"shown, without <code>a.b</code>, <code>c</code>", "body too large 3"}, []string{"too_large"},
		},
		"a provider without examples": {"/send", map[string]string{"GET sources": sources(""), "GET providers/p": `{"id":"p","spec":{}}`}, []string{"no examples"}, []string{`<button type="submit">Send`}},
		"no such provider":            {"/send", map[string]string{"GET sources": sources("")}, []string{"no examples"}, []string{`<button type="submit">Send`}},
		"a provider with examples": {
			"/send", map[string]string{"GET sources": sources(""), "GET providers/p": `{"id":"p","spec":{"examples":[{"type":"t"}]}}`}, []string{`<button type="submit">Send`}, []string{"no examples"},
		},
		"sources, but no event": {
			"/events", map[string]string{"GET sources": sources(""), "GET destinations": destinations, "GET events": `{}`},
			[]string{"Nothing has arrived yet", "Sources are configured", "Send a test event from here"}, []string{"into your Caddyfile"},
		},
		"no sources": {
			"/events", map[string]string{"GET sources": `{}`, "GET destinations": `{}`, "GET events": `{}`},
			[]string{"Nothing has arrived yet", "into your Caddyfile"}, []string{"Send a test event from here"},
		},
	} {
		body := serve(t, &fakeAPI{answers: c.answers}, httptest.NewRequest(http.MethodGet, "/base"+c.path, nil)).Body.String()
		for _, want := range c.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s: the page does not say %q: %s", name, want, body)
			}
		}
		for _, not := range c.not {
			if strings.Contains(body, not) {
				t.Errorf("%s: the page says %q", name, not)
			}
		}
	}
}

// TestUnseenCharacters puts characters that reorder, hide or steer wherever a stranger may put text: they are shown, but stay as they are where they are copied.
func TestUnseenCharacters(t *testing.T) {
	const in, shown = `a\u202eb\u2066\u001b\u009b\u200b`, `a\u202eb\u2066\u001b\u009b\u200b`
	raw := "a\u202eb\u2066\u001b\u009b\u200b"
	api := &fakeAPI{answers: map[string]string{
		"GET sources": `{"sources":[]}`, "GET destinations": `{"destinations":[]}`,
		"GET events/wh_1": `{"id":"wh_1","event_id":"` + in + `","type":"` + in + `","subject":"` + in + `","method":"POST","url":"http://x/` + in + `","header":{"X-A":["` + in +
			`"]},"deliveries":[{"destination":"d","order_key":"` + in + `","state":"dead","history":[{"number":1,"class":"status","error":"` + in + `","response":"` + in + `"}]}]}`,
		"GET events/wh_1/payload": `{"` + raw + `":"` + raw + "\"}",
		"GET events":              `{"events":[{"id":"wh_1","event_id":"` + in + `","type":"` + in + `"}]}`,
		"GET requests":            `{"requests":[{"result":"accepted","event":"wh_1","type":"` + in + `","event_id":"` + in + `"}]}`,
		"GET quarantine":          `{"requests":[{"id":"rq_1","reason":"mismatch","error":"` + in + `"}]}`,
		"GET audit":               `{"entries":[{"actor":"` + in + `","action":"pause","target":"` + in + `","detail":"` + in + `"}]}`,
	}}
	tags := regexp.MustCompile(`<[^>]*>`)
	for path, times := range map[string]int{"/events/wh_1": 16, "/events": 3, "/requests": 3, "/quarantine": 2, "/audit": 4} {
		r := httptest.NewRequest(http.MethodGet, "/base"+path, nil)
		r.AddCookie(&http.Cookie{Name: flashCookie, Value: url.QueryEscape(raw)})
		body := serve(t, api, r).Body.String()
		text := tags.ReplaceAllString(body, "")
		if n := strings.Count(text, shown); n < times || strings.ContainsFunc(text, unseen) {
			t.Errorf("%s shows them %d times, want %d: %q", path, n, times, text)
		}
		if path == "/events/wh_1" && !strings.Contains(body, `data-copy="`+raw+`"`) {
			t.Error("the copy is not what is there")
		}
	}
	if page := "<p>x \u200d 👩\u200d🔬\r\n\t\xff\u00e9</p>"; string(showUnseen([]byte(page+"\x7f"))) != page+`\u007f` {
		t.Error("what can be seen was changed")
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

// TestDeepPayload shows a payload that would become huge if it were indented.
func TestDeepPayload(t *testing.T) {
	p := pane{Body: []byte(strings.Repeat("[", 500) + strings.Repeat("1,", 2000) + "1" + strings.Repeat("]", 500)), Size: 1}
	if p.show(); string(p.Shown) != string(p.Body) || editable(&p) != "" {
		t.Errorf("shown as %d bytes", len(p.Shown))
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

// TestNestedPayloads shows JSON that would be mostly blanks, were it laid out over lines.
func TestNestedPayloads(t *testing.T) {
	deep := func(depth int, inside string) string {
		return strings.Repeat("[", depth) + inside + strings.Repeat("]", depth)
	}
	for name, c := range map[string]struct {
		body string
		laid bool
	}{
		"plain":          {`{"a":[1,2,{"b":"[[[,\\\"[["}]}`, true},
		"somewhat":       {deep(50, "1"), true},
		"long":           {"[" + strings.Repeat(`"[{,",`, 20000) + "1]", true},
		"deep":           {deep(5000, "1"), false},
		"deep and long":  {deep(100, strings.Repeat("1,", 20000)+"1"), false},
		"objects":        {strings.Repeat(`{"a":`, 4000) + "1" + strings.Repeat("}", 4000), false},
		"no JSON":        {"]]]]", false},
		"a bracket less": {deep(50, "[1"), false},
	} {
		p := &pane{Body: []byte(c.body), Size: len(c.body)}
		p.show()
		if len(p.Shown) > 10*maxIndented || p.Cut || strings.Contains(string(p.Shown), "\n") != c.laid || (editable(p) != "") != c.laid {
			t.Errorf("%s: %d bytes are shown of %d, to edit: %d", name, len(p.Shown), len(c.body), len(editable(p)))
		}
	}
}

// editForm is the form for a changed payload, filled in.
func editForm(payload string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/base/events/wh_1/resend", strings.NewReader(url.Values{"payload": {payload}, "destination": {"two"}, "csrf": {csrfToken(strings.Repeat("s", 26), "ada")}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", "http://example.com")
	r.AddCookie(&http.Cookie{Name: sessionCookie, Value: strings.Repeat("s", 26)})
	return r
}

// TestLargeEdit sends an edited payload that the form has laid out to many times its size, one as large as sources take, and one that is too large.
func TestLargeEdit(t *testing.T) {
	for name, body := range map[string]string{
		"many small values": `[[[["` + strings.Repeat(`","`, 40000) + `"]]]]`, "as large as sources take": `{"a":"` + strings.Repeat(`<`, 5<<20-8) + `"}`,
	} {
		api := &fakeAPI{answers: map[string]string{"POST events/wh_1/resend": `{"id":"wh_2"}`}}
		laid, ok := verifiers.IndentJSON([]byte(body), "  ", 16<<20)
		w := serve(t, api, editForm(strings.ReplaceAll(string(laid), "\n", "\r\n")))
		if !ok || w.Code != http.StatusSeeOther || len(api.calls) != 1 || string(api.calls[0].Raw) != body {
			t.Errorf("%s: %d %.200s, %d calls", name, w.Code, w.Body, len(api.calls))
		}
	}
	api := &fakeAPI{}
	r := editForm(strings.Repeat("1", maxEditForm))
	w := serve(t, api, r)
	if w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), "caddy webhooks replay") || len(api.calls) != 0 {
		t.Errorf("too large: %d %.2000s", w.Code, w.Body)
	}
}

// TestTooLargeIsRead wants a form that is too large to be read to its end, because browsers show no answer before that.
func TestTooLargeIsRead(t *testing.T) {
	r := editForm("1")
	sent := io.LimitReader(zeros{}, 2*maxEditForm)
	r.Body = io.NopCloser(sent)
	if w := serve(t, &fakeAPI{}, r); w.Code != http.StatusRequestEntityTooLarge {
		t.Fatalf("%d", w.Code)
	}
	if left, err := io.Copy(io.Discard, sent); left != 0 || err != nil {
		t.Errorf("%d bytes are not read: %v", left, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestRefusedInput sends what the gateway does not take: the page has what was written, what is wrong with it, and no live updates.
func TestRefusedInput(t *testing.T) {
	api := &fakeAPI{answers: map[string]string{
		"GET sources": `{"sources":[{"name":"pay"}]}`, "GET destinations": `{"destinations":[]}`, "GET events/wh_1/payload": `{"a":1}`,
		"GET events/wh_1": `{"id":"wh_1","deliveries":[{"destination":"one","state":"dead"},{"destination":"two","state":"dead"}]}`,
	}, refusals: map[string]string{"GET events": "odd since", "GET requests": "odd since", "GET dead": "odd since", "GET quarantine": "odd since", "POST replay": "odd since", "POST events/wh_1/resend": "odd to"}}
	form := editForm
	get := func(page string) *http.Request {
		return httptest.NewRequest(http.MethodGet, "/base/"+page+"?source=pay&since=soon", nil)
	}
	for name, c := range map[string]struct {
		r    *http.Request
		want []string
	}{
		"events":     {get("events"), []string{"odd since", `value="soon"`, "<option selected>pay"}},
		"requests":   {get("requests"), []string{"odd since", "<option selected>pay"}},
		"dead":       {get("dead"), []string{"odd since", `value="soon"`, "<option selected>pay"}},
		"quarantine": {get("quarantine"), []string{"odd since", "<option selected>pay"}},
		"replay":     {get("replay"), []string{"odd since", `value="soon"`, "<option selected>pay"}},
		"no JSON":    {form("{\n\"a\": <b>\n}"), []string{"not JSON", "Line 2: invalid character", "{\n&#34;a&#34;: &lt;b&gt;\n}", "<option selected>two", `id="edit" open`}},
		"unfinished": {form("{"), []string{"Line 1: unexpected end"}},
		"not taken":  {form(`{"b":2}`), []string{"odd to", "{&#34;b&#34;:2}", "<option selected>two", `id="edit" open`}},
	} {
		w := serve(t, api, c.r)
		if body := w.Body.String(); w.Code != http.StatusBadRequest || strings.Contains(body, "data-live=") || strings.Contains(body, "fits these filters") {
			t.Errorf("%s: %d %s", name, w.Code, body)
		}
		for _, want := range c.want {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: %q is not in the page", name, want)
			}
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
