package caddymodule

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/tidwall/gjson"

	"github.com/sluice-webhooks/sluice/queue"
)

// archiveSite has sources of several kinds, all of which deliver to `there`.
func archiveSite(redact string) string {
	return fmt.Sprintf(`
		handle /pay {
			webhook stripe {
				name payments
				secret %[1]s
				forward there
			}
		}
		handle /code {
			webhook github {
				secret %[1]s
				forward there
			}
		}
		handle /batch {
			webhook gocardless {
				name batch
				secret %[1]s
				forward there {
					order by json:id
				}
			}
		}
		handle /private {
			webhook stripe {
				name private
				secret %[1]s
				%[2]s
				forward there
			}
		}`, testSecret, redact)
}

func there(t *testing.T) (*application, string) {
	app := startApplication(t, nil)
	return app, "destination there {\n to " + app.URL + "\n}\n"
}

// stored are the events of a running gateway by source and id.
func stored(t *testing.T) map[string]*queue.Event {
	t.Helper()
	store, events := runningStore(t), map[string]*queue.Event{}
	page, err := store.Events(t.Context(), queue.Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range page.Events {
		e, err := store.Event(t.Context(), s.Event.ID)
		if err != nil {
			t.Fatal(err)
		}
		events[e.Source+" "+e.EventID] = e
	}
	return events
}

func TestExportAndImport(t *testing.T) {
	_, options := there(t)
	rig := startAdmin(t, "badger", options, archiveSite(""))
	pretty := "{\n  \"id\": \"evt_pretty\",\n  \"type\": \"invoice.paid\",\n  \"created\": 1700000000,\n  \"amount\": 1.50\n}\n"
	for i, body := range []string{`{"id":"evt_1","type":"charge.failed","created":1700000000,"text":"<&> ü"}`, pretty} {
		if resp, answer := rig.sendSigned(provider(t, "stripe"), testSecret, "/pay", body, time.Now()); resp.StatusCode != 200 {
			t.Fatalf("%d: %d %s", i, resp.StatusCode, answer)
		}
	}
	github := signedRequest(t, provider(t, "github"), testSecret, "http://"+rig.addr+"/code", "payload=%7B%22a%22%3A1%7D", time.Now())
	github.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	github.Header.Set("X-GitHub-Event", "push")
	github.Header.Set("X-GitHub-Delivery", "guid-1")
	if resp, answer := rig.do("POST", "/code", github.Header, string(github.Body)); resp.StatusCode >= 300 {
		t.Fatalf("github: %d %s", resp.StatusCode, answer)
	}
	rig.settledAll("there")
	postJSON[destinationView](rig, "/webhooks/destinations/there/pause", nil)
	rig.send("/pay", "evt_held", "invoice.paid", "")
	before := stored(t)

	file := filepath.Join(t.TempDir(), "events.jsonl")
	if o := rig.webhooks("export", "--output", file); o.code != 0 || o.stderr != "Exported 4 events.\n" || o.stdout != "" {
		t.Fatalf("export: %+v", o)
	}
	lines := exportedLines(t, file)
	if len(lines) != 4 || gjson.Get(lines[0], "id").String() != "evt_held" || gjson.Get(lines[0], "undelivered").String() != "there" {
		t.Fatalf("lines: %v", lines)
	}
	for _, line := range lines {
		checkCloudEvent(t, line)
		if strings.Contains(line, "Signature") || strings.Contains(line, testSecret) {
			t.Errorf("a secret is exported: %s", line)
		}
	}
	if text := gjson.Get(lines[3], "data").Raw; text != `{"id":"evt_1","type":"charge.failed","created":1700000000,"text":"<&> ü"}` {
		t.Errorf("data: %s", text)
	}
	if o := rig.webhooks("export", "--source", "payments", "--id", "evt_pretty", "--compact"); !strings.Contains(o.stdout, `"data":{"id":"evt_pretty","type":"invoice.paid","created":1700000000,"amount":1.50}`) {
		t.Errorf("compact: %+v", o)
	}

	// the same file twice stores nothing twice, and what is there already is a duplicate
	if got := rig.good("import", file); got != "0 events stored, 4 were there already, of 4 lines.\n" {
		t.Errorf("import where it came from: %q", got)
	}
	if err := caddy.Stop(); err != nil { // a reload does not leave a store with pending deliveries behind
		t.Fatal(err)
	}
	app, options := there(t)
	other := startAdmin(t, "badger", options, archiveSite(""))
	if got := other.good("import", file, "--dry-run"); got != "4 of 4 lines can be imported.\n" || len(stored(t)) != 0 {
		t.Errorf("dry run: %q, %d stored", got, len(stored(t)))
	}
	if got := other.good("import", file); got != "4 events stored, 0 were there already, of 4 lines.\n" {
		t.Errorf("import: %q", got)
	}
	if got := other.good("import", file); got != "0 events stored, 4 were there already, of 4 lines.\n" {
		t.Errorf("import once more: %q", got)
	}
	compareArchived(t, before, stored(t))
	other.settledAll("there")
	if got := app.await(t, 1); len(got) != 1 || got[0].header.Get("Webhook-Id") == "" || !bytes.Contains(got[0].body, []byte("evt_held")) {
		t.Errorf("delivered: %d, want the one that was held", len(got))
	}
	// what the provider sends once more is a duplicate of what was imported
	rig.addr = other.addr
	if resp, _ := rig.do("POST", "/code", github.Header, string(github.Body)); resp.StatusCode >= 300 || len(stored(t)) != 4 {
		t.Errorf("after the provider's retry: %d, %d events", resp.StatusCode, len(stored(t)))
	}
	newest := get[eventPage](other, "/webhooks/events").Events[0]
	if newest.EventID != "evt_held" {
		t.Errorf("newest is %s: the order of arrival is not kept", newest.EventID)
	}
	var actions []string
	for _, e := range get[auditPage](other, "/webhooks/audit").Entries {
		actions = append(actions, e.Action+": "+e.Detail)
	}
	if want := []string{"import: 4 stored, 0 duplicates, 0 refused, deliver undelivered"}; !slices.Equal(actions, want) {
		t.Errorf("audit: %q", actions)
	}
}

// compareArchived compares the events of two stores, apart from what an import makes anew.
func compareArchived(t *testing.T, before, after map[string]*queue.Event) {
	t.Helper()
	if len(after) != len(before) {
		t.Fatalf("%d events, want %d", len(after), len(before))
	}
	for name, was := range before {
		is := after[name]
		if is == nil {
			t.Errorf("%s is not there", name)
			continue
		}
		if !bytes.Equal(is.Body, was.Body) || is.Type != was.Type || is.Provider != was.Provider || is.Subject != was.Subject ||
			is.Method != was.Method || is.URL != was.URL || is.ClientIP != was.ClientIP || is.Header.Get("Content-Type") != was.Header.Get("Content-Type") {
			t.Errorf("%s: %+v, was %+v", name, is, was)
		}
		if !was.Time.IsZero() && !is.Time.Equal(was.Time) {
			t.Errorf("%s: time %s, was %s", name, is.Time, was.Time)
		}
		for header := range was.Header {
			if !soundsSecret(header) && !slices.Equal(is.Header[header], was.Header[header]) {
				t.Errorf("%s: header %s: %v, was %v", name, header, is.Header[header], was.Header[header])
			}
		}
	}
}

func exportedLines(t *testing.T, file string) []string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
}

// checkCloudEvent holds a line against the JSON format of CloudEvents 1.0: names of attributes, types of their values, one form of data.
func checkCloudEvent(t *testing.T, line string) {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(line), &members); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	for _, required := range []string{"specversion", "id", "source", "type"} {
		if text, _ := members[required].(string); text == "" {
			t.Errorf("no %s: %s", required, line)
		}
	}
	for name, value := range members {
		if name == "data" || name == "data_base64" {
			continue
		}
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			t.Errorf("%s is no name of an attribute", name)
		}
		if _, ok := value.(string); !ok {
			t.Errorf("%s: %v, want a string", name, value)
		}
	}
	if members["data"] != nil && members["data_base64"] != nil {
		t.Errorf("data and data_base64: %s", line)
	}
}

func TestExportHidesWhatSourcesHide(t *testing.T) {
	_, options := there(t)
	rig := startAdmin(t, "memory", options, archiveSite("mask data.object.card"))
	rig.send("/private", "evt_masked", "invoice.paid", `,"card":"4242"`)
	masked := exportOf(t, rig, "")
	if masked.stderr != "Exported 1 events.\n1 of them have a payload with parts masked; they cannot be imported.\n" || strings.Contains(masked.stdout, "4242") {
		t.Errorf("masked: %+v", masked)
	}
	rig.reload(options, archiveSite("redact"))
	hidden := exportOf(t, rig, "")
	if !strings.Contains(hidden.stderr, "have no payload") || gjson.Get(hidden.stdout, "data").Exists() || gjson.Get(hidden.stdout, "payloadstate").String() != "hidden" {
		t.Errorf("hidden: %+v", hidden)
	}
	for _, line := range []string{masked.stdout, hidden.stdout} {
		view := importLines(rig, "", line)
		if view.Refused != 1 || view.Stored != 0 || !strings.Contains(view.Problems[0].Reason, "its payload was") {
			t.Errorf("import: %+v", view)
		}
	}
}

func exportOf(t *testing.T, rig *adminRig, more string) output {
	t.Helper()
	o := rig.webhooks("export", strings.Fields(more)...)
	if o.code != 0 {
		t.Fatalf("export: %+v", o)
	}
	return o
}

func importLines(rig *adminRig, query, lines string) importView {
	rig.t.Helper()
	req, err := http.NewRequest("POST", "http://localhost/webhooks/import?"+query, strings.NewReader(lines))
	if err != nil {
		rig.t.Fatal(err)
	}
	resp, err := rig.client.Do(req)
	if err != nil {
		rig.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		rig.t.Fatal(err)
	}
	rig.schema.answer("POST", "/webhooks/import", resp, b.Bytes())
	var view importView
	if err := json.Unmarshal(b.Bytes(), &view); err != nil || resp.StatusCode != 200 {
		rig.t.Fatalf("import: %d %s", resp.StatusCode, b.Bytes())
	}
	return view
}

func TestImportLines(t *testing.T) {
	app, options := there(t)
	rig := startAdmin(t, "memory", options, archiveSite(""))
	event := func(more string) string {
		return `{"specversion":"1.0","id":"evt_1","source":"/webhooks/payments","type":"a.b"` + more + "}\n"
	}
	for line, reason := range map[string]string{
		"nonsense\n": "not JSON",
		"[1]\n":      "not a CloudEvent",
		`{"specversion":"0.3","id":"1","source":"/webhooks/payments","type":"a"}` + "\n": "specversion",
		`{"specversion":"1.0","source":"/webhooks/payments","type":"a"}` + "\n":          "id, a source and a type",
		`{"specversion":"1.0","id":"1","source":"/elsewhere","type":"a"}` + "\n":         "not one of a gateway",
		`{"specversion":"1.0","id":"1","source":"/webhooks/gone","type":"a"}` + "\n":     `"gone" is not configured`,
		event(`,"time":"yesterday"`):                   "not RFC 3339",
		event(`,"data_base64":"%%%"`):                  "not base64",
		event(`,"data":` + strings.Repeat("[", 1<<20)): "not JSON",
		event(`,"requestheader":"[]"`):                 "requestheader",
		event(`,"payloadstate":"odd"`):                 "its payload was odd",
		event(`,"data":` + strings.Repeat(" ", 10) + `"` + strings.Repeat("x", 6<<20) + `"`): "larger than the source takes",
	} {
		if view := importLines(rig, "", line); view.Refused != 1 || view.Lines != 1 || !strings.Contains(view.Problems[0].Reason, reason) || view.Problems[0].Line != 1 {
			t.Errorf("%s: %+v", line[:min(len(line), 80)], view)
		}
	}
	mixed := "\n" + event("") + "nonsense\n\n" + `{"specversion":"1.0","id":"x","source":"/elsewhere","type":"a","data":{"id":"x"}}`
	if view := importLines(rig, "deliver=all&source=payments", mixed); view.Stored != 2 || view.Refused != 1 || view.Lines != 3 || view.Problems[0].Line != 2 {
		t.Errorf("mixed: %+v", view)
	}
	app.await(t, 2)
	rig.refused("POST", "/webhooks/import?deliver=some", nil, 400, "bad_request")

	// elements of a batch have the claim that they had when they arrived together
	batch := `{"events":[{"id":"EV1","resource_type":"payments","action":"paid_out"},{"id":"EV2","resource_type":"payments","action":"failed"}]}`
	spec := runningHandler(t, "batch")
	req := signedRequest(t, spec.provider, testSecret, "http://"+rig.addr+"/batch", batch, time.Now())
	if resp, answer := rig.do("POST", "/batch", req.Header, batch); resp.StatusCode >= 300 {
		t.Fatalf("batch: %d %s", resp.StatusCode, answer)
	}
	element := `{"specversion":"1.0","id":"EV1","source":"/webhooks/batch","type":"t","data_base64":"` +
		base64.StdEncoding.EncodeToString([]byte(`{"id":"EV1","resource_type":"payments","action":"paid_out"}`)) + `"}`
	if view := importLines(rig, "", element); view.Duplicates != 1 {
		t.Errorf("element: %+v", view)
	}
	if o := rig.webhooks("import", "/no/such/file"); o.code != exitUsage {
		t.Errorf("no file: %+v", o)
	}
	if o := rig.webhooks("import", "--deliver", "some"); o.code != exitUsage {
		t.Errorf("deliver: %+v", o)
	}
}

func runningHandler(t *testing.T, name string) *Handler {
	t.Helper()
	app, err := activeApp()
	if err != nil {
		t.Fatal(err)
	}
	return app.source(name)
}

// TestExportPages follows pages, and a line that a page broke off is fetched again.
func TestExportPages(t *testing.T) {
	_, options := there(t)
	rig := startAdmin(t, "memory", options, archiveSite(""))
	var b strings.Builder
	for i := range 1201 {
		fmt.Fprintf(&b, `{"specversion":"1.0","id":"evt_%d","source":"/webhooks/payments","type":"a.b","data":{"id":"evt_%d"}}`+"\n", i, i)
	}
	if view := importLines(rig, "deliver=none", b.String()); view.Stored != 1201 {
		t.Fatalf("%+v", view)
	}
	if o := exportOf(t, rig, "--since 1h"); strings.Count(o.stdout, "\n") != 1201 || o.stderr != "Exported 1201 events.\n" {
		t.Errorf("%d lines, %s", strings.Count(o.stdout, "\n"), o.stderr)
	}
	_, whole, header := rig.call("GET", "/webhooks/export", nil)
	if bytes.Count(whole, []byte("\n")) != 1201 || header.Get(nextHeader) != "" {
		t.Errorf("whole: %d lines", bytes.Count(whole, []byte("\n")))
	}
	_, page, header := rig.call("GET", "/webhooks/export?limit=7", nil)
	if bytes.Count(page, []byte("\n")) != 7 || header.Get(nextHeader) == "" {
		t.Errorf("page: %s %v", page, header)
	}
	x := &exportRun{}
	var out bytes.Buffer
	for range 2 {
		for line := range bytes.Lines(page) {
			if err := x.write(&out, line); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !bytes.Equal(out.Bytes(), page) {
		t.Error("a page that was fetched twice is written twice")
	}
	rig.refused("GET", "/webhooks/export?sorce=x", nil, 400, "bad_request")
	if o := rig.webhooks("export", "--output", "/no/such/dir/file"); o.code != exitFailed {
		t.Errorf("no directory: %+v", o)
	}
}

// TestExportOverReload meets a gateway that leaves before the first event, one that is away for a moment, and a page that breaks off.
func TestExportOverReload(t *testing.T) {
	line := func(id int) string { return fmt.Sprintf(`{"specversion":"1.0","gatewayid":%q}`+"\n", queue.ID(id)) }
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) {
		case 1:
			writeAPIProblem(w, problemOf(fmt.Errorf("%w: a reload has begun, try again", queue.ErrClosed)))
		case 2, 4:
			panic(http.ErrAbortHandler)
		case 3: // the first page, but for its end
			w.Header().Set("Content-Type", linesType)
			w.Header().Set(nextHeader, "c")
			_, _ = io.WriteString(w, line(9)+line(8)+line(7)[:10])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case 5:
			w.Header().Set("Content-Type", linesType)
			w.Header().Set(nextHeader, "c")
			_, _ = io.WriteString(w, line(9)+line(8)+line(7))
		default:
			if r.URL.Query().Get("cursor") != "c" {
				t.Errorf("cursor: %v", r.URL.Query())
			}
			w.Header().Set("Content-Type", linesType)
			_, _ = io.WriteString(w, line(6))
		}
	}))
	defer server.Close()
	client, err := newAdminClient(strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	x := &exportRun{client: client, query: url.Values{}, bar: newProgress(io.Discard)}
	if err := x.run(t.Context(), &out); err != nil || out.String() != line(9)+line(8)+line(7)+line(6) || x.events != 4 {
		t.Errorf("%v, %d events: %s", err, x.events, out.String())
	}
}
