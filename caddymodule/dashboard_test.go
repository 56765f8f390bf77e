package caddymodule

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// startDashboard runs a gateway with a dashboard below /dash.
func startDashboard(t *testing.T, more string) *testGateway {
	t.Helper()
	app := startApplication(t, nil)
	return startGateway(t, "destination app {\n to "+app.URL+"\n}", dashboardSite(more))
}

func dashboardSite(more string) string {
	return "webhooks_dashboard /dash* {\n" + more + "\n}\nhandle /hooks {\n webhook stripe {\n secret " + testSecret + "\n forward app\n }\n}"
}

func TestDashboardPages(t *testing.T) {
	g := startDashboard(t, "")
	if resp, _ := g.sendSigned(provider(t, "stripe"), testSecret, "/hooks", stripeEvent, time.Now()); resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	for _, page := range []string{
		"/", "/requests", "/events", "/events/evt_1", "/dead", "/replays", "/replay", "/replay?state=delivered", "/destinations", "/destination?name=app&span=1h",
		"/source?name=stripe", "/quarantine", "/providers", "/providers/stripe", "/send", "/audit",
	} {
		resp, body := g.do(http.MethodGet, "/dash"+page, nil, "")
		if resp.StatusCode != http.StatusOK || !strings.Contains(body, "</html>") || strings.Contains(body, testSecret) {
			t.Errorf("%s: %d %s", page, resp.StatusCode, body)
		}
		if !strings.Contains(body, "Anybody who can open this page") {
			t.Errorf("%s does not warn", page)
		}
		if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; script-src 'self'") {
			t.Errorf("%s: policy %q", page, csp)
		}
	}
	if resp, _ := g.do(http.MethodGet, "/dash/none", nil, ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("no page: %d", resp.StatusCode)
	}
	for _, path := range []string{"/destination/pause", "/replay", "/send", "/events/evt_1/replay"} {
		if resp, _ := g.do(http.MethodPost, "/dash"+path, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, "name=app&source=stripe&state=dead"); resp.StatusCode != http.StatusForbidden {
			t.Errorf("POST %s without a token: %d", path, resp.StatusCode)
		}
	}
}

func TestDashboardUser(t *testing.T) {
	g := startDashboard(t, "user {http.request.header.Remote-User}")
	_, body := g.do(http.MethodGet, "/dash/", http.Header{"Remote-User": {"<b>ada</b>"}}, "")
	if strings.Contains(body, "Anybody who can open this page") || !strings.Contains(body, "Signed in as <b>&lt;b&gt;ada&lt;/b&gt;</b>") {
		t.Errorf("with a user: %s", body)
	}
	if _, body = g.do(http.MethodGet, "/dash/", nil, ""); !strings.Contains(body, "Anybody who can open this page") {
		t.Error("without a user there is no warning")
	}
	if err := g.load("destination app {\n to 127.0.0.1:9\n}", dashboardSite("unprotected_ok")); err != nil {
		t.Fatal(err)
	}
	if _, body = g.do(http.MethodGet, "/dash/", nil, ""); strings.Contains(body, "Anybody who can open this page") || strings.Contains(body, "Signed in") || !strings.Contains(body, "You are <b>") {
		t.Error("there is a warning or a name in spite of unprotected_ok")
	}
}

// TestDashboardRebinding asks for an unprotected dashboard on a loopback address by the names of other hosts.
func TestDashboardRebinding(t *testing.T) {
	h := new(Dashboard)
	for host, refused := range map[string]bool{"127.0.0.1:80": false, "localhost": false, "x.localhost:1": false, "[::1]:80": false, "evil.example": true, "evil.example:80": true} {
		g := reboundRequest(t, host)
		if got := rebound(g); got != refused {
			t.Errorf("%s: refused %v, want %v", host, got, refused)
		}
		if _, err := h.visit(g); (err != nil) != refused {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// TestDashboardLiveEndsWithItsConfiguration reloads while a client looks on: the reload must not wait for it.
func TestDashboardLiveEndsWithItsConfiguration(t *testing.T) {
	g := startDashboard(t, "")
	resp, err := http.Get("http://" + g.addr + "/dash/live?kind=request")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	await := func(want string) {
		t.Helper()
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("stream ended before %q: %v", want, err)
			}
			if strings.HasPrefix(line, want) {
				return
			}
		}
	}
	await(": live")
	if resp, _ := g.sendSigned(provider(t, "stripe"), testSecret, "/hooks", stripeEvent, time.Now()); resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	await("event: change")
	await(`data: {"request":1}`)
	if err := g.load("destination app {\n to 127.0.0.1:9\n}", dashboardSite("")); err != nil {
		t.Fatal(err)
	}
	await("event: end")
	if _, err := lines.ReadString(0); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	if resp, _ := g.do(http.MethodGet, "/dash/live?kind=odd", nil, ""); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("an odd filter: %d", resp.StatusCode)
	}
}

func TestDashboardWithoutGateway(t *testing.T) {
	g := &testGateway{t: t, addr: freeAddr(t)}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	config, err := adapt(fmt.Sprintf("{\n admin off\n persist_config off\n auto_https off\n log {\n level ERROR\n }\n}\nhttp://%s {\n webhooks_dashboard\n}", g.addr))
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	if resp, body := g.do(http.MethodGet, "/", nil, ""); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "no webhook handler") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// reboundRequest is a request that came to a loopback address and names a host.
func reboundRequest(t *testing.T, host string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}), http.MethodGet, "http://x/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	return r
}

// TestDashboardActions makes changes as a browser does, and looks for the user in the audit log.
func TestDashboardActions(t *testing.T) {
	g := startDashboard(t, "user {http.request.header.Remote-User}")
	if err := runningStore(t).PutMeta(t.Context(), metaHandshakeSurface+"stripe", []byte("paste-me")); err != nil {
		t.Fatal(err)
	}
	cookie, csrf := "", ""
	post := func(path, form string) (*http.Response, string) {
		t.Helper()
		return g.do(http.MethodPost, "/dash"+path, http.Header{
			"Content-Type": {"application/x-www-form-urlencoded"}, "Remote-User": {"ada"}, "Cookie": {cookie}, "Origin": {"http://" + g.addr},
		}, form+"&csrf="+csrf)
	}
	resp, body := g.do(http.MethodGet, "/dash/source?name=stripe", http.Header{"Remote-User": {"ada"}}, "")
	_, rest, ok := strings.Cut(body, `name="csrf" value="`)
	if !ok || strings.Contains(body, "paste-me") {
		t.Fatalf("page: %s", body)
	}
	csrf, _, _ = strings.Cut(rest, `"`)
	cookie, _, _ = strings.Cut(resp.Header.Get("Set-Cookie"), ";")
	if resp, body = post("/source/reveal", "name=stripe"); resp.StatusCode != http.StatusOK || !strings.Contains(body, "paste-me") {
		t.Errorf("reveal: %d %s", resp.StatusCode, body)
	}
	if resp, body = post("/destination/test", "name=none"); resp.StatusCode != http.StatusNotFound || !strings.Contains(body, "See Destinations") {
		t.Errorf("a destination that is none: %d", resp.StatusCode)
	}
	csrf = csrf[1:]
	if resp, _ = post("/source/reveal", "name=stripe"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("reveal with half a token: %d", resp.StatusCode)
	}
	if _, body = g.do(http.MethodGet, "/dash/audit", nil, ""); !strings.Contains(body, "<b>ada</b>") || !strings.Contains(body, "revealed") {
		t.Errorf("audit log: %s", body)
	}
}
