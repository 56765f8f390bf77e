package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// testGateway is a running Caddy with one plain HTTP site. Caddy is global to a process, so tests that use it do not run in parallel.
type testGateway struct {
	t    *testing.T
	addr string
	dir  string // of the store
}

// startGateway loads a configuration with the given global `webhooks` options and site.
func startGateway(t *testing.T, options, site string) *testGateway {
	t.Helper()
	g := &testGateway{t: t, addr: freeAddr(t), dir: t.TempDir()}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping caddy: %v", err)
		}
	})
	if err := g.load(options, site); err != nil {
		t.Fatalf("loading: %v", err)
	}
	return g
}

// load loads a configuration with the gateway's store and address in it.
func (g *testGateway) load(options, site string) error {
	config, err := adapt(g.caddyfile(options, site))
	if err != nil {
		return err
	}
	defer http.DefaultClient.CloseIdleConnections() // those to the configuration before
	return caddy.Load(config, true)
}

// setClock replaces the clock until the test ends.
func setClock(t *testing.T, clock func() time.Time) {
	before := testClock.Swap(&clock)
	t.Cleanup(func() { testClock.Store(before) })
}

// restart stops Caddy, which closes the store, and starts it again.
func (g *testGateway) restart(options, site string) error {
	http.DefaultClient.CloseIdleConnections()
	if err := caddy.Stop(); err != nil {
		return err
	}
	return g.load(options, site)
}

func (g *testGateway) caddyfile(options, site string) string {
	return fmt.Sprintf(`{
	admin off
	persist_config off
	auto_https off
	grace_period 2s
	log {
		level ERROR
	}
	webhooks {
		store badger %q {
			min_free 1KiB
		}
		%s
	}
}
http://%s {
	%s
}
`, g.dir, options, g.addr, site)
}

// adapt turns a Caddyfile into JSON.
func adapt(text string) ([]byte, error) {
	adapter := caddyfile.Adapter{ServerType: httpcaddyfile.ServerType{}}
	config, _, err := adapter.Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	return config, err
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// do sends a request and returns the answer with its body read.
func (g *testGateway) do(method, path string, header http.Header, body string) (*http.Response, string) {
	g.t.Helper()
	req, err := http.NewRequest(method, "http://"+g.addr+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := persistent{http.DefaultTransport}.RoundTrip(req)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp, string(answer)
}

// persistent sends a request again whose connection waited at the listener of the configuration before, or was idle there: nobody read it.
type persistent struct{ http.RoundTripper }

func (p persistent) RoundTrip(req *http.Request) (*http.Response, error) {
	for tries := 1; ; tries++ {
		resp, err := p.RoundTripper.RoundTrip(req)
		if tries == 5 || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			return resp, err
		}
		if req.GetBody != nil {
			req = req.Clone(req.Context())
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// sendSigned posts a body to path, signed as the provider would.
func (g *testGateway) sendSigned(provider *verifiers.Provider, secret, path, body string, at time.Time) (*http.Response, string) {
	g.t.Helper()
	req := signedRequest(g.t, provider, secret, "http://"+g.addr+path, body, at)
	return g.do(req.Method, path, req.Header, string(req.Body))
}

// application is the server behind the gateway. It keeps what it received.
type application struct {
	*httptest.Server
	answer http.HandlerFunc // set before the first request; nil answers 200

	mu       sync.Mutex
	received []received
	arrived  chan struct{}
}

type received struct {
	header http.Header
	path   string
	body   []byte
	at     time.Time
}

func startApplication(t testing.TB, answer http.HandlerFunc) *application {
	a := &application{answer: answer, arrived: make(chan struct{}, 1)}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("application: reading: %v", err)
		}
		a.mu.Lock()
		a.received = append(a.received, received{header: r.Header.Clone(), path: r.URL.RequestURI(), body: body, at: time.Now()})
		a.mu.Unlock()
		select {
		case a.arrived <- struct{}{}:
		default:
		}
		if a.answer != nil {
			r.Body = io.NopCloser(bytes.NewReader(body))
			a.answer(w, r)
		}
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *application) all() []received {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]received(nil), a.received...)
}

// await waits until the application has received n requests.
// verify reads a request as an application does that has the provider's SDK and a secret.
func (a *application) verify(t testing.TB, p *verifiers.Provider, secret string, got *received) error {
	t.Helper()
	address, err := url.Parse(a.URL + got.path)
	if err != nil {
		t.Fatal(err)
	}
	r := &verifiers.Request{Method: http.MethodPost, URL: address, Header: got.header, Body: got.body, At: got.at}
	_, err = p.Verify(t.Context(), r, []verifiers.Secret{verifiers.NewSecret([]byte(secret))})
	return err
}

func (a *application) await(t testing.TB, n int) []received {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		if got := a.all(); len(got) >= n {
			return got
		}
		select {
		case <-a.arrived:
		case <-deadline.C:
			t.Fatalf("application received %d requests, want %d", len(a.all()), n)
		}
	}
}

// eventually waits until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("did not happen in time: %s", what)
		}
	}
}
