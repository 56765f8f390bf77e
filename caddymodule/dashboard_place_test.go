package caddymodule

import (
	"bufio"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

const hookSite = "\nhandle /hooks {\n webhook stripe {\n secret " + testSecret + "\n forward app\n }\n}"

// dashboardBrowser goes through a dashboard as a browser does, with cookies and without following redirects.
type dashboardBrowser struct {
	t      *testing.T
	client *http.Client
	root   string // http://host
	base   string // of the dashboard
	user   *url.Userinfo
}

func (b *dashboardBrowser) do(method, path string, form url.Values) (*http.Response, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.root+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if b.user != nil {
		password, _ := b.user.Password()
		r.SetBasicAuth(b.user.Username(), password)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", b.root)
	}
	resp, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp, string(body)
}

var attributeAddress = regexp.MustCompile(` [a-z-]+="(/[^"]*)"`)

// pages follows every address of the overview and of a page below it.
func (b *dashboardBrowser) pages() (csrf string) {
	b.t.Helper()
	seen := map[string]bool{}
	for _, page := range []string{"/", "/destination?name=app", "/providers/stripe"} {
		resp, body := b.do(http.MethodGet, b.base+page, nil)
		found := attributeAddress.FindAllStringSubmatch(body, -1)
		if resp.StatusCode != http.StatusOK || len(found) < 10 {
			b.t.Fatalf("%s: %d %s", page, resp.StatusCode, body)
		}
		for _, match := range found {
			address := strings.ReplaceAll(match[1], "&amp;", "&")
			if !strings.HasPrefix(address, b.base+"/") {
				b.t.Errorf("%s leads to %s", page, address)
			}
			seen[address] = true
		}
		if _, rest, ok := strings.Cut(body, `name="csrf" value="`); ok {
			csrf, _, _ = strings.Cut(rest, `"`)
		}
	}
	for address := range seen {
		if strings.HasPrefix(address, b.base+"/live") {
			continue
		}
		resp, body := b.do(http.MethodGet, address, nil)
		form := resp.StatusCode == http.StatusMethodNotAllowed || strings.Contains(body, "There is no page") // of a form's action
		if resp.StatusCode != http.StatusOK && !form && resp.StatusCode != http.StatusSeeOther {
			b.t.Errorf("%s: %d", address, resp.StatusCode)
		}
		if strings.Contains(address, "/static/") && !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
			b.t.Errorf("%s: not for good", address)
		}
	}
	return csrf
}

// change pauses a destination and sees that said.
func (b *dashboardBrowser) change(csrf string) {
	b.t.Helper()
	resp, body := b.do(http.MethodPost, b.base+"/destination/pause", url.Values{"name": {"app"}, "csrf": {csrf}})
	to := resp.Header.Get("Location")
	if resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, b.base+"/destination") {
		b.t.Fatalf("pause: %d to %q: %s", resp.StatusCode, to, body)
	}
	for _, cookie := range resp.Cookies() {
		if cookie.Path != b.base+"/" {
			b.t.Errorf("cookie of %s", cookie.Path)
		}
	}
	if resp, body = b.do(http.MethodGet, to, nil); resp.StatusCode != http.StatusOK || !strings.Contains(strings.ToLower(body), "paused") {
		b.t.Errorf("after pausing: %d %s", resp.StatusCode, body)
	}
	if resp, _ = b.do(http.MethodPost, b.base+"/destination/resume", url.Values{"name": {"app"}, "csrf": {csrf}}); resp.StatusCode != http.StatusSeeOther {
		b.t.Errorf("resume: %d", resp.StatusCode)
	}
	if resp, _ = b.do(http.MethodPost, b.base+"/destination/pause", url.Values{"name": {"app"}, "csrf": {"x" + csrf}}); resp.StatusCode != http.StatusForbidden {
		b.t.Errorf("with another token: %d", resp.StatusCode)
	}
}

// live begins to follow what happens.
func (b *dashboardBrowser) live() {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.root+b.base+"/live", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if b.user != nil {
		password, _ := b.user.Password()
		r.SetBasicAuth(b.user.Username(), password)
	}
	resp, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || resp.StatusCode != http.StatusOK || !strings.HasPrefix(line, ": live") || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		b.t.Errorf("live: %d %q %v", resp.StatusCode, line, err)
	}
}

func newBrowser(t *testing.T, root, base string) *dashboardBrowser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &dashboardBrowser{t: t, client: &http.Client{Jar: jar, CheckRedirect: stay}, root: root, base: base}
}

// TestDashboardPlaces goes through the ways in which a Caddyfile says where the dashboard stands.
func TestDashboardPlaces(t *testing.T) {
	const global = "destination app {\n to 127.0.0.1:9\n}"
	digest, err := bcrypt.GenerateFromPassword([]byte("of ada"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	hash := string(digest)
	for name, test := range map[string]struct {
		site, base, bare string // bare: where the base without its slash leads to
		user             *url.Userinfo
	}{
		"the root of a site":         {site: "webhooks_dashboard"},
		"handle_path":                {site: "handle_path /dash/* {\n webhooks_dashboard\n}", base: "/dash"},
		"handle_path without slash":  {site: "handle_path /dash* {\n webhooks_dashboard\n}", base: "/dash", bare: "/dash/"},
		"handle_path in another":     {site: "handle_path /a/* {\n handle_path /b* {\n webhooks_dashboard\n }\n}", base: "/a/b", bare: "/a/b/"},
		"a matcher":                  {site: "webhooks_dashboard /dash*", base: "/dash", bare: "/dash/"},
		"a matcher with a slash":     {site: "webhooks_dashboard /dash/*", base: "/dash"},
		"handle and base":            {site: "handle /dash* {\n webhooks_dashboard {\n base /dash\n }\n}", base: "/dash", bare: "/dash/"},
		"route and base":             {site: "route /dash/* {\n webhooks_dashboard {\n base /dash\n }\n}", base: "/dash"},
		"strip_prefix":               {site: "@dash path /dash /dash/*\nhandle @dash {\n uri strip_prefix /dash\n webhooks_dashboard\n}", base: "/dash", bare: "/dash/"},
		"handle_path and basic_auth": {site: "handle_path /dash* {\n basic_auth {\n ada " + hash + "\n }\n webhooks_dashboard\n}", base: "/dash", bare: "/dash/", user: url.UserPassword("ada", "of ada")},
	} {
		t.Run(name, func(t *testing.T) {
			g := startGateway(t, global, test.site+hookSite)
			b := newBrowser(t, "http://"+g.addr, test.base)
			if test.user != nil {
				if resp, _ := b.do(http.MethodGet, test.base+"/", nil); resp.StatusCode != http.StatusUnauthorized {
					t.Errorf("without a password: %d", resp.StatusCode)
				}
				b.user = test.user
			}
			b.change(b.pages())
			b.live()
			if resp, _ := b.do(http.MethodGet, test.base, nil); test.bare != "" && (resp.StatusCode != http.StatusPermanentRedirect || resp.Header.Get("Location") != test.bare) {
				t.Errorf("%s: %d to %q", test.base, resp.StatusCode, resp.Header.Get("Location"))
			}
		})
	}
}

// TestDashboardBehindProxy stands at the root of its own site, below a path of another one whose proxy takes that path off.
func TestDashboardBehindProxy(t *testing.T) {
	g := startGateway(t, "destination app {\n to 127.0.0.1:9\n}", "webhooks_dashboard {\n base /ops\n}"+hookSite)
	target, err := url.Parse("http://" + g.addr)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
	front := httptest.NewServer(http.StripPrefix("/ops", proxy))
	defer front.Close()
	b := newBrowser(t, front.URL, "/ops")
	b.change(b.pages())
	b.live()
	proxy.Rewrite = func(r *httputil.ProxyRequest) { r.SetURL(target) } // the host is the gateway's own now
	if resp, body := b.do(http.MethodPost, "/ops/destination/pause", url.Values{"name": {"app"}}); resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "Host") {
		t.Errorf("another Host: %d %s", resp.StatusCode, body)
	}
}

// TestDashboardMisplaced: a dashboard that was not told where it stands says what to write.
func TestDashboardMisplaced(t *testing.T) {
	for _, site := range []string{"handle /dash* {\n webhooks_dashboard\n}", "route /dash/* {\n webhooks_dashboard\n}", "@dash path /dash/*\nwebhooks_dashboard @dash"} {
		t.Run(strings.Fields(site)[0], func(t *testing.T) { // its name becomes that of a directory, in which braces are placeholders
			g := startGateway(t, "destination app {\n to 127.0.0.1:9\n}", site+hookSite)
			for _, path := range []string{"/dash/", "/dash/events", "/dash/events/wh_1", "/dash/static/x/app.css"} {
				resp, body := g.do(http.MethodGet, path, nil, "")
				if resp.StatusCode != http.StatusNotFound || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") || !strings.Contains(body, "`handle_path /dash*`") || !strings.Contains(body, "`base /dash`") {
					t.Errorf("%s: %s: %d %s", site, path, resp.StatusCode, body)
				}
			}
			if resp, body := g.do(http.MethodPost, "/dash/destination/pause", nil, "name=app"); resp.StatusCode != http.StatusForbidden {
				t.Errorf("a change: %d %s", resp.StatusCode, body)
			}
			if strings.HasPrefix(site, "handle /dash*") {
				if resp, body := g.do(http.MethodGet, "/dash", nil, ""); resp.StatusCode != http.StatusNotFound || !strings.Contains(body, "handle_path /dash*") {
					t.Errorf("/dash: %d %s", resp.StatusCode, body)
				}
			}
		})
	}
	g := startGateway(t, "destination app {\n to 127.0.0.1:9\n}", "webhooks_dashboard\n"+hookSite)
	for path, hint := range map[string]bool{"/evnts": true, "/events/a/b/c": false, "/destination/x": false} {
		resp, body := g.do(http.MethodGet, path, nil, "")
		if resp.StatusCode != http.StatusNotFound || !strings.Contains(body, "There is no page at "+path) || strings.Contains(body, "`handle_path") != hint {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
}

func TestStrippedBase(t *testing.T) {
	for name, test := range map[string]struct{ original, path, base, rest string }{
		"nothing":        {"/events", "/events", "", "/events"},
		"a path":         {"/dash/events", "/events", "/dash", "/events"},
		"the root":       {"/dash/", "/", "/dash", "/"},
		"no slash":       {"/dash", "/", "/dash", ""},
		"a host":         {"//evil.example/dash/", "/", "/evil.example/dash", "/"},
		"another host":   {"/\\evil.example", "/", "/evil.example", ""},
		"rewritten":      {"/x", "/events", "", "/events"},
		"only a slash":   {"//", "/", "", "/"},
		"part of a name": {"/dashboard", "/board", "", "/board"},
	} {
		if base, rest := strippedBase(test.original, test.path); base != test.base || rest != test.rest {
			t.Errorf("%s: %q, %q", name, base, rest)
		}
	}
}
