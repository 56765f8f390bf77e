package caddymodule

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

func TestCredentials(t *testing.T) {
	var tokens atomic.Int32
	login := startApplication(t, func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if err := r.ParseForm(); err != nil || id != "sluice" || secret != "s3cret" || r.Form.Get("grant_type") != "client_credentials" {
			w.WriteHeader(401)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"bearer","expires_in":3600}`, tokens.Add(1))
	})
	t.Setenv("APP_TOKEN", "from-env")
	for name, c := range map[string]struct{ options, want string }{
		"bearer": {"bearer {env.APP_TOKEN}", "Bearer from-env"},
		"basic":  {"basic user {env.APP_TOKEN}", "Basic dXNlcjpmcm9tLWVudg=="},
		"oauth2": {"oauth2 {\n token_url " + login.URL + "\n client_id sluice\n client_secret s3cret\n scopes hooks\n}", "Bearer token-1"},
	} {
		t.Run(name, func(t *testing.T) {
			app := startApplication(t, nil)
			g := startGateway(t, "destination d {\n to "+app.URL+"\n "+c.options+"\n}", "webhook stripe {\n secret "+testSecret+"\n dedup off\n forward d\n}")
			sendStripe(t, g, "/")
			sendStripe(t, g, "/")
			for _, r := range app.await(t, 2) {
				if got := r.header.Get("Authorization"); got != c.want {
					t.Errorf("Authorization %q, want %q", got, c.want)
				}
			}
		})
	}
	if n := tokens.Load(); n != 1 {
		t.Errorf("%d tokens were fetched for two requests", n)
	}
}

// TestRefusedToken revokes a token: the attempt after the one that was refused has another.
func TestRefusedToken(t *testing.T) {
	var tokens atomic.Int32
	login := startApplication(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"bearer","expires_in":3600}`, tokens.Add(1))
	})
	app := startApplication(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer token-1" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	g := startGateway(t, "destination d {\n to "+app.URL+"\n retry 10ms 10ms\n oauth2 {\n token_url "+login.URL+"\n client_id a\n client_secret b\n}\n}",
		"webhook stripe {\n secret "+testSecret+"\n forward d\n}")
	sendStripe(t, g, "/")
	d, attempts := onlyDelivery(t, "d", settled)
	if d.State != queue.StateDelivered || len(attempts) != 2 || attempts[0].Status != http.StatusUnauthorized || tokens.Load() != 2 {
		t.Errorf("%+v %+v with %d tokens", d, attempts, tokens.Load())
	}
}

// TestRefusalsOfOneToken has the same token refused more than once, late too: they share one new token.
func TestRefusalsOfOneToken(t *testing.T) {
	var tokens atomic.Int32
	var fit atomic.Bool
	login := startApplication(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if !fit.Load() {
			_, _ = io.WriteString(w, `{"access_token":"a\nb"}`)
			return
		}
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"bearer","expires_in":3600}`, tokens.Add(1))
	})
	auth := &Auth{OAuth2: &OAuth2{TokenURL: login.URL, ClientID: "a", ClientSecret: "b"}}
	credentials, err := auth.provision(zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	h := make(http.Header)
	if err := credentials.authorize(t.Context(), time.Now(), h); err == nil || !strings.Contains(err.Error(), "a token that no header can hold") {
		t.Errorf("%v, %v", err, h)
	}
	fit.Store(true)
	first := http.Header{"Authorization": {"Bearer token-1"}}
	for i, want := range []string{"Bearer token-1", "Bearer token-2", "Bearer token-2"} {
		if err := credentials.authorize(t.Context(), time.Now(), h); err != nil || h.Get("Authorization") != want {
			t.Errorf("request %d: %v, %v, want %s", i, h, err, want)
		}
		auth.refused(first)
		auth.refused(http.Header{"Authorization": {"Bearer of-the-header-option"}})
	}
}

// testCA issues certificates into files.
type testCA struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newTestCA(t *testing.T) *testCA {
	ca := &testCA{t: t, dir: t.TempDir()}
	ca.cert, ca.key = ca.issue("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, time.Hour)
	return ca
}

// issue writes name.pem and name.key.
func (ca *testCA) issue(name string, template *x509.Certificate, valid time.Duration) (*x509.Certificate, *ecdsa.PrivateKey) {
	ca.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		ca.t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-24*time.Hour), time.Now().Add(valid)
	parent, signer := ca.cert, ca.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		ca.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		ca.t.Fatal(err)
	}
	ca.write(name+".pem", "CERTIFICATE", der)
	ca.write(name+".key", "PRIVATE KEY", raw)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		ca.t.Fatal(err)
	}
	return cert, key
}

func (ca *testCA) path(file string) string { return filepath.Join(ca.dir, file) }

func (ca *testCA) write(file, kind string, der []byte) {
	ca.t.Helper()
	if err := os.WriteFile(ca.path(file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		ca.t.Fatal(err)
	}
}

// serve starts a TLS application with a certificate of the CA; it asks for client certificates.
func (ca *testCA) serve(name string, valid time.Duration) *httptest.Server {
	ca.t.Helper()
	ca.issue(name, &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, valid)
	pair, err := tls.LoadX509KeyPair(ca.path(name+".pem"), ca.path(name+".key"))
	if err != nil {
		ca.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello "+r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	server.Config.ErrorLog = nil
	server.StartTLS()
	ca.t.Cleanup(server.Close)
	return server
}

func TestClientCertificates(t *testing.T) {
	ca := newTestCA(t)
	ca.issue("gateway", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, time.Hour)
	good, expired := ca.serve("good", time.Hour), ca.serve("expired", -time.Hour)
	destination := func(name, address string) string {
		return fmt.Sprintf("destination %s {\n to %s\n retry none\n proxy {\n transport http {\n tls_trust_pool file %s\n tls_client_auth %s %s\n}\n}\n}\n",
			name, address, ca.path("ca.pem"), ca.path("gateway.pem"), ca.path("gateway.key"))
	}
	g := startGateway(t, destination("good", good.URL)+destination("expired", expired.URL)+"destination untrusted {\n to "+good.URL+"\n retry none\n}",
		"webhook stripe {\n secret "+testSecret+"\n forward good\n forward expired\n forward untrusted\n}")
	sendStripe(t, g, "/")
	if d, attempts := onlyDelivery(t, "good", settled); d.State != queue.StateDelivered || string(attempts[0].Response) != "hello gateway" {
		t.Errorf("%+v %+v", d, attempts)
	}
	for _, name := range []string{"expired", "untrusted"} {
		if d, attempts := onlyDelivery(t, name, settled); d.State != queue.StateDead || attempts[0].Class != "tls" {
			t.Errorf("%s: %+v %+v", name, d, attempts)
		}
	}
}
