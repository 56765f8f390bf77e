package caddymodule

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// keyServer is an https server that the fetcher takes for every host on port 443; its certificate is that of example.com.
type keyServer struct {
	t   *testing.T
	hit atomic.Int64

	mu     sync.Mutex
	answer http.HandlerFunc
}

func startKeyServer(t *testing.T, answer http.HandlerFunc) *keyServer {
	t.Helper()
	s := &keyServer{t: t, answer: answer}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hit.Add(1)
		s.mu.Lock()
		answer := s.answer
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	t.Cleanup(transport.CloseIdleConnections)
	before := keyFetcher
	keyFetcher = newCachedFetcher(transport)
	t.Cleanup(func() { keyFetcher = before })
	return s
}

// anyHost makes the server's certificate do for every host.
func (s *keyServer) anyHost() {
	keyFetcher.client.Transport.(*http.Transport).TLSClientConfig.ServerName = "example.com"
}

func (s *keyServer) set(answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func serve(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

func outage(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }

// moveClock replaces the package's clock by one that the returned function puts forward. It goes first in a test, so that it is put back last.
func moveClock(t *testing.T) (forward func(time.Duration)) {
	t.Helper()
	var offset atomic.Int64
	setClock(t, func() time.Time { return time.Now().Add(time.Duration(offset.Load())) })
	return func(d time.Duration) { offset.Add(int64(d)) }
}

// tokenKey is a key pair whose public half a key server publishes.
type tokenKey struct {
	id      string
	private *ecdsa.PrivateKey
}

func newTokenKey(t *testing.T, id string) tokenKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return tokenKey{id, k}
}

func keySet(t *testing.T, keys ...tokenKey) string {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.private.Public(), KeyID: k.id, Algorithm: "ES256"})
	}
	b, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// token signs claims that any time fits.
func (k tokenKey) token(t *testing.T) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: k.private, KeyID: k.id}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	object, err := signer.Sign([]byte(`{"iss":"keys"}`))
	if err != nil {
		t.Fatal(err)
	}
	compact, err := object.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

const tokenSite = `webhook jwt {
	header     Authorization
	format     "Bearer {signature}"
	algorithms ES256
	claim      iss keys
	jwks       https://example.com/keys
	event_id   json:id
}`

// sendToken sends a new event with a token and returns the status of the answer.
func (g *testGateway) sendToken(k tokenKey, id string) int {
	g.t.Helper()
	resp, _ := g.do(http.MethodPost, "/", http.Header{"Authorization": {"Bearer " + k.token(g.t)}}, fmt.Sprintf(`{"id":%q}`, id))
	return resp.StatusCode
}

// TestKeyRotation checks that a key which is not among those that are kept is looked for anew, though not for each request that names one.
func TestKeyRotation(t *testing.T) {
	forward := moveClock(t)
	first, second, third := newTokenKey(t, "k1"), newTokenKey(t, "k2"), newTokenKey(t, "k3")
	server := startKeyServer(t, serve(keySet(t, first)))
	g := startGateway(t, "", tokenSite)
	expect := func(k tokenKey, id string, status int, hits int64) {
		t.Helper()
		if got := g.sendToken(k, id); got != status || server.hit.Load() != hits {
			t.Fatalf("%s by %s: %d after %d fetches, want %d after %d", id, k.id, got, server.hit.Load(), status, hits)
		}
	}
	expect(second, "e1", 401, 1) // looked for since it came
	expect(first, "e1", 200, 1)
	expect(first, "e2", 200, 1)
	server.set(serve(keySet(t, first, second)))
	expect(second, "e3", 503, 1) // fetched a moment ago: nobody knows yet, and whoever makes up ids of keys cannot have the key server flooded
	forward(keyRefresh)
	expect(second, "e3", 200, 2)
	expect(first, "e4", 200, 2)
	expect(newTokenKey(t, "k1"), "e5", 401, 2) // the id is known, and the key is another
	forward(keyRefresh)
	expect(third, "e5", 401, 3)
	expect(third, "e5", 503, 3)
	server.set(outage)
	forward(keyRefresh)
	expect(third, "e5", 503, 4) // may be genuine: nobody can tell
	expect(third, "e5", 503, 4)
	expect(second, "e6", 200, 4)
}

// TestKeyServerOutage checks that an outage is never taken for a bad signature, and that keys which are kept outlast it for a day.
func TestKeyServerOutage(t *testing.T) {
	forward := moveClock(t)
	key, stranger := newTokenKey(t, "k1"), newTokenKey(t, "k1")
	server := startKeyServer(t, outage)
	g := startGateway(t, "", tokenSite)
	for name, answer := range map[string]http.HandlerFunc{
		"status": outage, "garbage": serve("<html>"), "empty": serve(""), "endless": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2*maxKeyDocument)) },
		"off the host": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example.com/keys", http.StatusFound)
		},
		"to plain http": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://example.com/keys", http.StatusFound)
		},
		"broken off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("{"))
		},
	} {
		server.set(answer)
		forward(2 * keyUsable)
		if got := g.sendToken(key, "e1"); got != 503 {
			t.Errorf("%s: %d", name, got)
		}
	}
	server.set(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			http.Redirect(w, r, "https://example.com/elsewhere", http.StatusFound)
			return
		}
		_, _ = w.Write([]byte(keySet(t, key)))
	})
	forward(2 * keyUsable)
	if got := g.sendToken(key, "e1"); got != 200 {
		t.Fatalf("after the outage, by a redirect within the host: %d", got)
	}
	server.set(outage)
	before := server.hit.Load()
	forward(keyFresh)
	if got := g.sendToken(key, "e2"); got != 200 {
		t.Errorf("with keys that are kept: %d", got)
	}
	if got := g.sendToken(stranger, "e3"); got != 401 {
		t.Errorf("forged, with keys that are kept: %d", got)
	}
	eventually(t, "an old document is asked for again", func() bool { return server.hit.Load() > before })
	forward(keyUsable)
	if got := g.sendToken(key, "e4"); got != 503 {
		t.Errorf("with keys that grew too old: %d", got)
	}
}

// TestOwnIdentityProvider takes keys from an address with a port of its own, as an operator's own identity provider has.
func TestOwnIdentityProvider(t *testing.T) {
	key := newTokenKey(t, "k1")
	startKeyServer(t, serve(keySet(t, key)))
	g := startGateway(t, "", strings.Replace(tokenSite, "https://example.com/keys", "https://example.com:8443/keys", 1))
	if got := g.sendToken(key, "e1"); got != 200 {
		t.Errorf("got %d", got)
	}
}

// TestFetchSaysWhatOperatorCanMend wants to hear of a certificate that is not trusted and of a redirect elsewhere, which are no outage.
func TestFetchSaysWhatOperatorCanMend(t *testing.T) {
	startKeyServer(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
	})
	_, err := keyFetcher.Fetch(t.Context(), "https://example.com/keys", func(host string) bool { return host == "example.com" })
	if !errors.Is(err, verifiers.ErrKeysUnavailable) || !strings.Contains(err.Error(), "example.com redirects to an address") {
		t.Errorf("redirect: %v", err)
	}
	keyFetcher.client.Transport.(*http.Transport).TLSClientConfig.RootCAs = x509.NewCertPool()
	_, err = keyFetcher.Fetch(t.Context(), "https://example.com/others", anyHost)
	if !errors.Is(err, verifiers.ErrKeysUnavailable) || !strings.Contains(err.Error(), "do not trust the certificate of example.com") {
		t.Errorf("certificate: %v", err)
	}
}

func anyHost(string) bool { return true }

// TestFetchOutlivesRequest checks that a sender who goes away does not make the fetch fail for others.
func TestFetchOutlivesRequest(t *testing.T) {
	began, answer := make(chan struct{}), make(chan struct{})
	server := startKeyServer(t, func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-answer
		_, _ = w.Write([]byte("key"))
	})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := keyFetcher.Fetch(ctx, "https://example.com/key", anyHost)
		gone <- err
	}()
	<-began
	cancel()
	if err := <-gone; !errors.Is(err, verifiers.ErrKeysUnavailable) {
		t.Errorf("who went away got %v", err)
	}
	close(answer)
	body, err := keyFetcher.Fetch(t.Context(), "https://example.com/key", anyHost)
	if string(body) != "key" || err != nil || server.hit.Load() != 1 {
		t.Errorf("%q after %d fetches: %v", body, server.hit.Load(), err)
	}
}

// TestFetchEnds checks that the last configuration to let go leaves no fetch behind, and that the next one can fetch again.
func TestFetchEnds(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	server := startKeyServer(t, func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	})
	keyFetcher.use()
	keyFetcher.use()
	failed := make(chan error, 1)
	go func() {
		_, err := keyFetcher.Fetch(context.WithoutCancel(t.Context()), "https://example.com/key", anyHost)
		failed <- err
	}()
	<-began
	keyFetcher.release()
	select {
	case <-failed:
		t.Fatal("ended although a configuration is left")
	default:
	}
	keyFetcher.release()
	if err := <-failed; !errors.Is(err, verifiers.ErrKeysUnavailable) {
		t.Errorf("fetch ended with %v", err)
	}
	<-ended
	server.set(serve("key"))
	keyFetcher.use()
	defer keyFetcher.release()
	if _, err := keyFetcher.Fetch(t.Context(), "https://example.com/another", anyHost); err != nil {
		t.Errorf("fetching again: %v", err)
	}
}

// TestInventedAddresses checks that addresses which lead to nothing push no key out of the cache.
func TestInventedAddresses(t *testing.T) {
	server := startKeyServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/key" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("key"))
	})
	if _, err := keyFetcher.Fetch(t.Context(), "https://example.com/key", anyHost); err != nil {
		t.Fatal(err)
	}
	for i := range maxKeyCache + 10 {
		if _, err := keyFetcher.Fetch(t.Context(), fmt.Sprintf("https://example.com/%d", i), anyHost); !errors.Is(err, verifiers.ErrKeysUnavailable) {
			t.Fatal(err)
		}
	}
	before := server.hit.Load()
	if _, err := keyFetcher.Fetch(t.Context(), "https://example.com/key", anyHost); err != nil || server.hit.Load() != before {
		t.Errorf("fetched again: %v", err)
	}
	for _, address := range []string{"http://example.com/key", "https://user@example.com/key", "ftp://example.com/", "::"} {
		if _, err := keyFetcher.Fetch(t.Context(), address, anyHost); !errors.Is(err, verifiers.ErrMismatch) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := keyFetcher.Fetch(t.Context(), "https://example.com/key", func(string) bool { return false }); !errors.Is(err, verifiers.ErrMismatch) {
		t.Errorf("from a host that is not allowed: %v", err)
	}
}

// TestHostsShareKeys checks that one host, however many documents it has and however slow it is, neither pushes the keys of another out nor holds their fetches up.
func TestHostsShareKeys(t *testing.T) {
	began, answer := make(chan struct{}, 64), make(chan struct{})
	server := startKeyServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "slow.example.com" {
			began <- struct{}{}
			<-answer
		}
		_, _ = w.Write([]byte("key"))
	})
	server.anyHost()
	keyFetcher.use()
	fetch := func(address string) {
		t.Helper()
		if _, err := keyFetcher.Fetch(t.Context(), address, anyHost); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	fetch("https://other.example.com/key")
	for i := range maxKeyCache + 10 {
		fetch(fmt.Sprintf("https://many.example.com/%d", i))
	}
	before := server.hit.Load()
	if fetch("https://other.example.com/key"); server.hit.Load() != before {
		t.Error("pushed out by documents of another host")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 40 {
		if _, err := keyFetcher.Fetch(gone, fmt.Sprintf("https://slow.example.com/%d", i), anyHost); !errors.Is(err, verifiers.ErrKeysUnavailable) {
			t.Errorf("slow: %v", err)
		}
	}
	for range maxHostFetches {
		<-began
	}
	fetch("https://other.example.com/another")
	if len(began) > 0 {
		t.Errorf("%d more fetches of the slow host than it may have", len(began))
	}
	close(answer)
	keyFetcher.release()
}
