package caddymodule

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/caddymodule/sender"
	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

// handshakeCase is one question of a provider, asked of a source of its own.
type handshakeCase struct {
	spec      *verifiers.Spec
	handshake *verifiers.Handshake
	vector    *verifiers.HandshakeVector
	path      string
	secret    string
	params    map[string]string
}

// handshakeCases makes a case of every vector in the catalogue.
func handshakeCases(t *testing.T) []*handshakeCase {
	t.Helper()
	specs, err := catalogue.All()
	if err != nil {
		t.Fatal(err)
	}
	var cases []*handshakeCase
	for _, spec := range specs {
		for i := range spec.Handshakes {
			h := &spec.Handshakes[i]
			for j := range h.Vectors {
				c := &handshakeCase{spec: spec, handshake: h, vector: &h.Vectors[j], path: fmt.Sprintf("/%s-%d-%d", spec.ID, i, j)}
				c.params = sender.TrialParams(spec)
				for name, value := range c.vector.Params {
					c.params[name] = value
				}
				c.secret = c.vector.Secret
				if c.secret == "" && spec.Scheme != verifiers.SchemeNone && !spec.Needs().SecretByHandshake {
					if c.secret, err = sender.TrialSecret(spec); err != nil {
						t.Fatal(err)
					}
				}
				cases = append(cases, c)
			}
		}
	}
	return cases
}

// site is the case's source.
func (c *handshakeCase) site(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "handle %s {\n webhook %s {\n name %s\n", c.path, c.spec.ID, c.path[1:])
	switch {
	case c.spec.Scheme == verifiers.SchemeNone:
		b.WriteString(" unsigned_ok\n")
	case c.secret != "":
		file := filepath.Join(dir, c.path[1:])
		if err := os.WriteFile(file, []byte(c.secret), 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, " secret {file.%s}\n", file)
	}
	for name, value := range c.params {
		fmt.Fprintf(&b, " param %s %s\n", name, strconv.Quote(value))
	}
	b.WriteString(" }\n}\n")
	return b.String()
}

// request is the question. Signed ones whose vector has no signature are signed with secret.
func (c *handshakeCase) request(t *testing.T, g *testGateway, secret string) *verifiers.Request {
	t.Helper()
	v := c.vector
	method := v.Method
	if method == "" {
		method = http.MethodPost
		if len(c.handshake.Methods) > 0 {
			method = c.handshake.Methods[0]
		}
	}
	u := &url.URL{Scheme: "http", Host: g.addr, Path: c.path}
	if asked, err := url.Parse(v.URL); err != nil {
		t.Fatal(err)
	} else if asked != nil {
		u.RawQuery = asked.RawQuery
	}
	r := &verifiers.Request{Method: method, URL: u, Header: http.Header{}, Body: []byte(v.Body), At: now()}
	for name, value := range v.Headers {
		r.Header.Set(name, value)
	}
	if !c.handshake.Signed || presigned[c.spec.ID] != 0 {
		return r
	}
	p, err := verifiers.Compile(c.spec.Merge(&verifiers.Spec{Values: c.params}))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Sign(r, verifiers.NewSecret([]byte(secret)), "msg_1", r.At); err != nil {
		t.Fatal(err)
	}
	return r
}

// presigned are the providers whose vectors carry their signature, with its time.
var presigned = map[string]int64{"wecom": 1700000000}

// TestHandshakes asks a running gateway every question of the catalogue: the answer is the documented one, byte for byte; where the question is signed, one that is
// signed with another secret is refused; and none becomes an event.
func TestHandshakes(t *testing.T) {
	forward := moveClock(t)
	server := startKeyServer(t, serve("confirmed"))
	server.anyHost()
	cases := handshakeCases(t)
	dir := t.TempDir()
	var site strings.Builder
	for _, c := range cases {
		site.WriteString(c.site(t, dir))
	}
	g := startGateway(t, "", site.String())
	for _, c := range cases {
		t.Run(c.path[1:], func(t *testing.T) {
			if at := presigned[c.spec.ID]; at != 0 {
				offset := time.Unix(at, 0).Sub(now())
				forward(offset)
				defer forward(-offset)
			}
			g.t = t
			if c.handshake.Signed {
				c.refuse(t, g)
			}
			before := server.hit.Load()
			r := c.request(t, g, c.secret)
			resp, body := g.do(r.Method, r.URL.RequestURI(), r.Header, string(r.Body))
			c.compare(t, resp, body)
			if visited := server.hit.Load() - before; (c.vector.Visit != "") != (visited == 1) {
				t.Errorf("%d addresses visited, want %q", visited, c.vector.Visit)
			}
		})
	}
	g.t = t
	stats, err := runningStore(t).Stats(t.Context())
	if err != nil || stats.Events != 0 {
		t.Errorf("%d events were made of handshakes: %v", stats.Events, err)
	}
}

// refuse sends the question with a signature that is not genuine.
func (c *handshakeCase) refuse(t *testing.T, g *testGateway) {
	t.Helper()
	forged, err := sender.TrialSecret(c.spec)
	if err != nil {
		t.Fatal(err)
	}
	r := c.request(t, g, forged)
	if presigned[c.spec.ID] != 0 {
		r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "msg_signature=2", "msg_signature=3", 1)
	}
	resp, body := g.do(r.Method, r.URL.RequestURI(), r.Header, string(r.Body))
	want := http.StatusUnauthorized
	if c.spec.RefuseStatus != 0 {
		want = c.spec.RefuseStatus
	}
	if resp.StatusCode != want || c.vector.Reply != "" && strings.Contains(body, c.vector.Reply) {
		t.Errorf("forged: answered %d %q", resp.StatusCode, body)
	}
	if c.spec.Ack.Empty && body != "" {
		t.Errorf("forged: refused with a body: %q", body)
	}
}

func (c *handshakeCase) compare(t *testing.T, resp *http.Response, body string) {
	t.Helper()
	v := c.vector
	status := v.Status
	if status == 0 {
		status = http.StatusOK
	}
	if resp.StatusCode != status || body != v.Reply {
		t.Fatalf("answered %d %q, want %d %q", resp.StatusCode, body, status, v.Reply)
	}
	if resp.Request.Method != http.MethodHead && status != http.StatusNoContent && resp.ContentLength != int64(len(v.Reply)) {
		t.Errorf("length %d announced for %d bytes", resp.ContentLength, len(v.Reply))
	}
	contentType := v.ContentType
	if contentType == "" && v.Reply != "" {
		contentType = "text/plain; charset=utf-8"
	}
	if got := resp.Header.Get("Content-Type"); got != contentType {
		t.Errorf("content type %q, want %q", got, contentType)
	}
	for name, value := range v.ReplyHeader {
		if resp.Header.Get(name) != value {
			t.Errorf("header %s %q, want %q", name, resp.Header.Get(name), value)
		}
	}
	if len(resp.Header["Set-Cookie"]) > 0 {
		t.Error("answered with a cookie")
	}
	source := c.path[1:]
	if v.Surface != "" {
		if got := metaText(t, metaHandshakeSurface+source); got != v.Surface {
			t.Errorf("surfaced %q", got)
		}
	}
	if v.StoreSecret != "" {
		found := false
		for _, value := range metaList(t, metaHandshakeSecret+source+"/") {
			found = found || value == v.StoreSecret
		}
		if !found {
			t.Error("the secret was not kept")
		}
	}
}

func metaText(t *testing.T, key string) string {
	t.Helper()
	value, err := runningStore(t).Meta(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(value)
}

func metaList(t *testing.T, prefix string) (values []string) {
	t.Helper()
	err := runningStore(t).ListMeta(t.Context(), prefix, "", func(_ string, value []byte) bool {
		values = append(values, string(value))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// TestHandshakeSecret follows the secret of a handshake: it verifies events at once, after a reload and after a restart; who knows the address cannot
// bring another; an address with a token takes several.
func TestHandshakeSecret(t *testing.T) {
	app := startApplication(t, nil)
	site := "handle /open {\n webhook asana {\n name open\n forward " + app.URL + "\n}\n}\n" +
		"handle /closed/* {\n webhook asana {\n name closed\n token path let-me-in\n forward " + app.URL + "\n}\n}"
	options := ""
	g := startGateway(t, options, site)
	asana := provider(t, "asana")
	hello := func(path, secret string, status int) {
		t.Helper()
		resp, _ := g.do(http.MethodPost, path, http.Header{"X-Hook-Secret": {secret}}, "{}")
		if resp.StatusCode != status || status == 200 && resp.Header.Get("X-Hook-Secret") != secret || status != 200 && resp.Header.Get("X-Hook-Secret") != "" {
			t.Fatalf("%s: %s with %q", path, resp.Status, resp.Header.Get("X-Hook-Secret"))
		}
	}
	n := 0
	event := func(path, secret string, status int) {
		t.Helper()
		n++
		if resp, _ := g.sendSigned(asana, secret, path, fmt.Sprintf(`{"events":[{"n":%d}]}`, n), time.Now()); resp.StatusCode != status {
			t.Fatalf("event %d at %s: %s, want %d", n, path, resp.Status, status)
		}
	}
	event("/open", "first", 401)
	hello("/open", "first", 200)
	event("/open", "first", 200)
	hello("/open", "first", 200) // asked again
	hello("/open", "forger", 401)
	event("/open", "forger", 401)
	hello("/closed/wrong", "forger", 401)
	hello("/closed/let-me-in", "one", 200)
	hello("/closed/let-me-in", "two", 200)
	event("/closed/let-me-in", "one", 200)
	event("/closed/let-me-in", "two", 200)
	event("/closed/let-me-in", "forger", 401)
	http.DefaultClient.CloseIdleConnections()
	if err := g.load(options, site+"\n# changed\nhandle {\n respond 404\n}"); err != nil {
		t.Fatal(err)
	}
	event("/open", "first", 200)
	if err := g.restart(options, site); err != nil {
		t.Fatal(err)
	}
	event("/open", "first", 200)
	event("/closed/let-me-in", "one", 200)
	event("/closed/let-me-in", "two", 200)
	event("/open", "forger", 401)
	hello("/open", "forger", 401)
}

// TestHandshakeSecretIsItsProviders checks that a secret which a handshake brought vouches for nothing once the source is another provider's, whether that one takes
// secrets by handshake or not, and that one which an earlier version kept serves on.
func TestHandshakeSecretIsItsProviders(t *testing.T) {
	const asana = "webhook asana {\n name hooks\n}"
	g := startGateway(t, "", asana)
	event := func(id, secret string, status int) {
		t.Helper()
		if resp, _ := g.sendSigned(provider(t, id), secret, "/", `{"events":[]}`, time.Now()); resp.StatusCode != status {
			t.Errorf("%s by %q: %s, want %d", id, secret, resp.Status, status)
		}
	}
	become := func(site string) {
		t.Helper()
		http.DefaultClient.CloseIdleConnections()
		if err := g.load("", site); err != nil {
			t.Fatal(err)
		}
	}
	if resp, _ := g.do(http.MethodPost, "/", http.Header{"X-Hook-Secret": {"anybody's"}}, "{}"); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	become("webhook github {\n name hooks\n secret configured\n}")
	event("github", "anybody's", 401)
	event("github", "configured", 200)
	become("webhook clio {\n name hooks\n}")
	event("clio", "anybody's", 401)
	become(asana)
	event("asana", "anybody's", 200)

	const kept = metaHandshakeSecret + "old/0123456789abcdef" // as earlier versions named it
	if err := runningStore(t).PutMeta(t.Context(), kept, []byte("kept")); err != nil {
		t.Fatal(err)
	}
	become("webhook asana {\n name old\n}")
	event("asana", "kept", 200)
	become("webhook clio {\n name old\n}")
	event("clio", "kept", 401)
	become("webhook asana {\n name old\n} # again")
	event("asana", "kept", 200)
}

// TestFirstHandshakeOfTwo begins sources that stand in two places each: of two first handshakes that come at the same time, one alone brings a secret.
func TestFirstHandshakeOfTwo(t *testing.T) {
	const sources = 8
	var site strings.Builder
	for i := range sources {
		for _, place := range []string{"a", "b"} {
			fmt.Fprintf(&site, "handle /%s%d {\n webhook asana {\n name s%d\n }\n}\n", place, i, i)
		}
	}
	g := startGateway(t, "", site.String())
	var asked sync.WaitGroup
	var answered [sources]atomic.Int64
	for i := range sources {
		for _, place := range []string{"a", "b"} {
			asked.Go(func() {
				resp, _ := g.do(http.MethodPost, fmt.Sprintf("/%s%d", place, i), http.Header{"X-Hook-Secret": {place}}, "{}")
				if resp.StatusCode == 200 {
					answered[i].Add(1)
				}
			})
		}
	}
	asked.Wait()
	for i := range answered {
		if n, kept := answered[i].Load(), metaList(t, fmt.Sprintf("%ss%d/", metaHandshakeSecret, i)); n != 1 || len(kept) != 1 {
			t.Errorf("source %d: %d handshakes were answered, %d secrets are kept", i, n, len(kept))
		}
	}
}

// TestSurfacedToken begins a Notion source without a secret, as Notion sends it in a handshake, and does not let a stranger replace what the operator is shown.
func TestSurfacedToken(t *testing.T) {
	g := startGateway(t, "", "webhook notion")
	const token = "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"
	ask := func(token string, status int) {
		t.Helper()
		if resp, _ := g.do(http.MethodPost, "/", nil, `{"verification_token":"`+token+`"}`); resp.StatusCode != status {
			t.Fatal(resp.Status)
		}
	}
	ask(token, 200)
	http.DefaultClient.CloseIdleConnections()
	if err := g.load("", "webhook notion {\n secret "+token+"\n}"); err != nil {
		t.Fatal(err)
	}
	ask("secret_of_a_stranger", 401)
	ask(token, 200)
	if got := metaText(t, metaHandshakeSurface+"notion"); got != token {
		t.Errorf("surfaced %q", got)
	}
	if resp, _ := g.sendSigned(provider(t, "notion"), token, "/", `{"id":"e1","type":"page.created"}`, time.Now()); resp.StatusCode != 200 {
		t.Errorf("event: %s", resp.Status)
	}
}

// TestVisitStaysOnHost checks that the address of a handshake is fetched from its own host only, redirects included, and that one which cannot be had is asked for again.
func TestVisitStaysOnHost(t *testing.T) {
	server := startKeyServer(t, serve("ok"))
	server.anyHost()
	g := startGateway(t, "", "webhook adobe_io_events {\n param client_id c\n}")
	for name, tc := range map[string]struct {
		visit  string
		answer http.HandlerFunc
		status int
		hits   int64
	}{
		"confirmed":    {"https://csm.adobe.io/validate?id=1", serve(""), 200, 1},
		"outage":       {"https://csm.adobe.io/validate?id=2", outage, 503, 1},
		"another host": {"https://evil.example.com/validate", serve(""), 401, 0},
		"another port": {"https://csm.adobe.io:8443/validate", serve(""), 401, 0},
		"not https":    {"http://csm.adobe.io/validate", serve(""), 401, 0},
		"with user":    {"https://csm.adobe.io@evil.example.com/", serve(""), 401, 0},
		"redirect within": {"https://csm.adobe.io/validate?id=3", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/done" {
				http.Redirect(w, r, "/done", http.StatusFound)
			}
		}, 200, 2},
		"redirect away": {"https://csm.adobe.io/validate?id=4", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example.com/", http.StatusFound)
		}, 503, 1},
	} {
		server.set(tc.answer)
		before := server.hit.Load()
		resp, _ := g.do(http.MethodPost, "/", nil, `{"validationUrl":"`+tc.visit+`"}`)
		if resp.StatusCode != tc.status || server.hit.Load()-before != tc.hits {
			t.Errorf("%s: %s after %d visits, want %d after %d", name, resp.Status, server.hit.Load()-before, tc.status, tc.hits)
		}
	}
}

// TestEmptyBatch checks that a batch without elements is acknowledged and stores nothing.
func TestEmptyBatch(t *testing.T) {
	g := startGateway(t, "", "webhook tailscale {\n secret s\n ack sync 1s\n forward http://127.0.0.1:1\n}")
	for _, body := range []string{"[]", " [ ] "} {
		if resp, answer := g.sendSigned(provider(t, "tailscale"), "s", "/", body, time.Now()); resp.StatusCode != 200 || answer != "" {
			t.Errorf("%s %q", resp.Status, answer)
		}
	}
	if resp, _ := g.sendSigned(provider(t, "tailscale"), "wrong", "/", "[]", time.Now()); resp.StatusCode != 401 {
		t.Errorf("forged: %s", resp.Status)
	}
	stats, err := runningStore(t).Stats(context.Background())
	if err != nil || stats.Events != 0 {
		t.Errorf("%d events: %v", stats.Events, err)
	}
}
