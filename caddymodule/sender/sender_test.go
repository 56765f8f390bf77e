package sender_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/caddymodule/sender"
	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

var signed = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// provider compiles a provider of the catalogue with a trial secret.
func provider(t *testing.T, id string) (*verifiers.Provider, verifiers.Secret) {
	t.Helper()
	spec, err := catalogue.Lookup(id)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := sender.TrialSecret(spec)
	if err != nil {
		t.Fatal(err)
	}
	if params := sender.TrialParams(spec); len(params) > 0 {
		spec = spec.Merge(&verifiers.Spec{Values: params})
	}
	p, err := verifiers.Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	return p, verifiers.NewSecret([]byte(secret))
}

// TestEveryProvider builds a request of every provider and has the provider's own verification take it as it arrives over the network.
func TestEveryProvider(t *testing.T) {
	var arrived *verifiers.Request
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		address := *r.URL
		address.Scheme, address.Host = "http", r.Host
		arrived = &verifiers.Request{Method: r.Method, URL: &address, Header: r.Header, Body: body, At: signed}
	}))
	defer server.Close()
	client := sender.NewClient(10*time.Second, time.Now)
	for _, id := range catalogue.IDs() {
		t.Run(id, func(t *testing.T) {
			p, secret := provider(t, id)
			m := sender.Message{Provider: p, Secret: secret, To: mustURL(t, server.URL+"/hooks/"+id+"?tenant=7"), At: signed}
			r, err := m.Build()
			if errors.Is(err, verifiers.ErrCannotSign) {
				t.Skip("only the provider can sign") // a property of the provider, see its file
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.Send(context.Background(), r, nil); err != nil {
				t.Fatal(err)
			}
			if got := arrived.URL.Query().Get("tenant"); got != "7" {
				t.Errorf("query of the address was lost: %q", arrived.URL.RawQuery)
			}
			var secrets []verifiers.Secret
			if len(secret.Bytes()) > 0 {
				secrets = append(secrets, secret)
			}
			if _, err := p.Verify(context.Background(), arrived, secrets); err != nil {
				t.Errorf("does not verify: %v", err)
			}
		})
	}
}

func TestChosenID(t *testing.T) {
	for id, want := range map[string]string{
		"heyvisa": "evt_chosen", "legaltalent_kyc": "evt_chosen", "scan_documents": "evt_chosen", "standard": "evt_chosen", "stripe": "evt_chosen", "github": "evt_chosen",
	} {
		p, secret := provider(t, id)
		m := sender.Message{Provider: p, Secret: secret, To: mustURL(t, "http://localhost/x"), ID: "evt_chosen", At: signed}
		r, err := m.Build()
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		identities, err := p.Identify(r, false)
		if err != nil || identities[0].EventID != want {
			t.Errorf("%s: identified as %v: %v", id, identities, err)
		}
		if _, err := p.Verify(context.Background(), r, []verifiers.Secret{secret}); err != nil {
			t.Errorf("%s: does not verify: %v", id, err)
		}
	}
	p, _ := provider(t, "vericato")
	m := sender.Message{Provider: p, To: mustURL(t, "http://localhost/x"), ID: "evt_chosen", At: signed}
	if _, err := m.Build(); err == nil {
		t.Error("vericato has no id that could be chosen, and none was refused")
	}
}

func TestOwnBody(t *testing.T) {
	p, secret := provider(t, "heyvisa")
	body := []byte(`{"id":"evt_own","type":"something.else"}`)
	m := sender.Message{
		Provider: p, Secret: secret, To: mustURL(t, "http://localhost"), Body: body, At: signed,
		Header: http.Header{"Heyvisa-Event": {"something.else"}},
	}
	r, err := m.Build()
	if err != nil {
		t.Fatal(err)
	}
	identities, err := p.Identify(r, false)
	if err != nil || identities[0].EventID != "evt_own" || identities[0].Type != "something.else" {
		t.Errorf("identified as %v: %v", identities, err)
	}
	if !bytes.Equal(r.Body, body) || r.URL.Path != "/" || r.URL.EscapedPath() != "/" {
		t.Errorf("body %s, path %q", r.Body, r.URL.Path)
	}
	if _, err := p.Verify(context.Background(), r, []verifiers.Secret{secret}); err != nil {
		t.Errorf("does not verify: %v", err)
	}
}

// TestSignedURL signs another address than the one that is sent to.
func TestSignedURL(t *testing.T) {
	p, err := verifiers.Compile(&verifiers.Spec{
		ID: "by_url", Scheme: verifiers.SchemeHMAC, Signed: []string{"{url}.{body}"},
		Signature: verifiers.Signature{Names: []string{"X-Signature"}},
		Examples:  []verifiers.Example{{Body: `{}`}},
	})
	if err != nil {
		t.Fatal(err)
	}
	secret := verifiers.NewSecret([]byte("secret"))
	public := mustURL(t, "https://hooks.example.com/in?a=1")
	m := sender.Message{Provider: p, Secret: secret, To: mustURL(t, "http://127.0.0.1:9/internal"), SignedURL: public, At: signed}
	r, err := m.Build()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Verify(context.Background(), r, []verifiers.Secret{secret}); err != nil || r.URL.String() != public.String() {
		t.Errorf("signed %s: %v", r.URL, err)
	}
	req, err := sender.HTTPRequest(context.Background(), r, m.To)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := req.URL.String(), "http://127.0.0.1:9/internal?a=1"; got != want {
		t.Errorf("sent to %s, want %s", got, want)
	}
}

func TestSendHidesTheAddress(t *testing.T) {
	p, _ := provider(t, "vericato")
	m := sender.Message{Provider: p, To: mustURL(t, "http://127.0.0.1:1/x?token=very-secret"), At: signed}
	r, err := m.Build()
	if err != nil {
		t.Fatal(err)
	}
	_, err = sender.NewClient(time.Second, time.Now).Send(context.Background(), r, nil)
	if err == nil || strings.Contains(err.Error(), "very-secret") {
		t.Errorf("error %v", err)
	}
}

// TestCurl has a shell read the line, with a curl that only shows its arguments.
func TestCurl(t *testing.T) {
	for name, body := range map[string][]byte{
		"text": []byte(`{"name":"it's \"quoted\" $HOME ` + "`x`" + `"}`), "binary": {0, 1, 0xff, '\n', '\''}, "empty": nil,
	} {
		r := &verifiers.Request{
			Method: "POST", URL: mustURL(t, "http://localhost:8080/a?b=c&d='e'"), Body: body, Header: http.Header{"X-Signature": {"t=1,v1='abc'"}, "X-Twice": {"1", "2"}},
		}
		line, err := sender.Curl(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		script := `curl() { for a in "$@"; do printf '%s\0' "$a"; done; printf '\1'; test "$last" = stdin && cat; }` + "\n"
		if strings.HasPrefix(line, "printf") {
			script += "last=stdin\n"
		}
		out, err := exec.Command("sh", "-c", script+line+"\ntrue").Output()
		if err != nil {
			t.Fatalf("%s: %s: %v", name, line, err)
		}
		args, piped, _ := bytes.Cut(out, []byte{1})
		words := strings.Split(strings.TrimSuffix(string(args), "\x00"), "\x00")
		want := []string{"-sS", "-i", "-X", "POST", r.URL.String(), "-H", "X-Signature: t=1,v1='abc'", "-H", "X-Twice: 1", "-H", "X-Twice: 2"}
		switch name {
		case "text":
			want = append(want, "--data-raw", string(body))
		case "binary":
			want = append(want, "--data-binary", "@-")
			if !bytes.Equal(piped, body) {
				t.Errorf("piped %q, want %q", piped, body)
			}
		}
		if strings.Join(words, "|") != strings.Join(want, "|") {
			t.Errorf("%s: curl gets\n%q\nwant\n%q", name, words, want)
		}
	}
}

func TestHTTPText(t *testing.T) {
	r := &verifiers.Request{Method: http.MethodPut, URL: mustURL(t, "https://hooks.example.com/a%20b?c=d"), Body: []byte("x\r\n\r\ny"), Header: http.Header{"X-A": {"1", "2"}}}
	text, err := sender.HTTPText(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got.Method != http.MethodPut || got.Host != "hooks.example.com" || got.RequestURI != "/a%20b?c=d" || len(got.Header["X-A"]) != 2 || string(body) != string(r.Body) {
		t.Errorf("read back as %+v with body %q", got, body)
	}
}
