package verifiers

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestHostPatterns checks the patterns of hosts; above all that a bucket called sns is not Amazon's.
func TestHostPatterns(t *testing.T) {
	const sns = "sns.[a-z][a-z]-*-[0-9].amazonaws.com"
	for _, c := range []struct {
		pattern, host string
		want          bool
	}{
		{"keys.example.com", "keys.example.com", true},
		{"keys.example.com", "KEYS.example.com", true},
		{"keys.example.com", "xkeys.example.com", false},
		{"keys.example.com", "keys.example.com.evil.test", false},
		{".example.com", "a.example.com", true},
		{".example.com", "a.b.example.com", true},
		{".example.com", "example.com", false},
		{".example.com", "badexample.com", false},
		{"keys.*.example.com", "keys.eu.example.com", true},
		{"keys.*.example.com", "keys.eu.west.example.com", false},
		{"keys.*.example.com", "keys..example.com", false},
		{"", "", false},
		{"", "example.com", false},
		{sns, "sns.us-west-2.amazonaws.com", true},
		{sns, "sns.us-gov-east-1.amazonaws.com", true},
		{sns, "sns.ap-southeast-5.amazonaws.com", true},
		{sns, "sns.s3.amazonaws.com", false},
		{sns, "sns.s3-us-west-2.amazonaws.com", false},
		{sns, "sns.s3.us-west-2.amazonaws.com", false},
		{sns, "evil.us-west-2.amazonaws.com", false},
	} {
		if got := matchHost(c.pattern, c.host); got != c.want {
			t.Errorf("%q and %q: %v", c.pattern, c.host, got)
		}
	}
}

// documents is a KeyFetcher over a map.
type documents map[string]string

func (d documents) Fetch(_ context.Context, rawURL string, allowed func(string) bool) ([]byte, error) {
	u, err := url.Parse(rawURL)
	if err != nil || !allowed(u.Hostname()) {
		return nil, ErrMismatch
	}
	doc, ok := d[rawURL]
	if !ok {
		return nil, ErrKeysUnavailable
	}
	return []byte(doc), nil
}

// TestKeySourceField reads a key out of a JSON document at an address that a param gives; the host of that address is the only one allowed.
func TestKeySourceField(t *testing.T) {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	doc, err := json.Marshal(map[string]any{"data": map[string]string{"publicKey": text}})
	if err != nil {
		t.Fatal(err)
	}
	spec := &Spec{
		ID: "acme", Scheme: SchemeEd25519, Signature: Signature{Names: []string{"X-Sig"}, Encoding: "base64"},
		Params:    []Param{{Name: "instance"}},
		KeySource: &KeySource{URL: "{param.instance}/key.json", Kind: "pem", Field: "data.publicKey"},
	}
	compileWith := func(instance string) *Provider {
		s := *spec
		s.Values = map[string]string{"instance": instance}
		p, err := Compile(&s, WithKeyFetcher(documents{"https://acme.example/a/key.json": string(doc), "https://acme.example:8443/a/key.json": string(doc), "https://other.example/key.json": "{}"}))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	r := &Request{Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: "hooks.example.com", Path: "/"}, Header: http.Header{}, Body: []byte("{}"), At: time.Unix(1700000000, 0)}
	if err := compileWith("https://acme.example/a").Sign(r, NewSecret([]byte(text)), "", r.At); !errors.Is(err, ErrCannotSign) {
		t.Fatalf("signed with a public key: %v", err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	secret := NewSecret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	if err := compileWith("https://acme.example/a").Sign(r, secret, "", r.At); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		instance string
		want     error
	}{
		{"https://acme.example/a", nil}, {"https://acme.example/b", ErrKeysUnavailable}, {"https://other.example", ErrKeysUnavailable}, {"https://acme.example:8443/a", nil},
		{"", ErrKeysUnavailable},
	} {
		if _, err := compileWith(c.instance).Verify(context.Background(), r, nil); !errors.Is(err, c.want) {
			t.Errorf("%q: %v, expected %v", c.instance, err, c.want)
		}
	}
}

// TestFixedKeyAddress wants an address that cannot be fetched from to be a mistake of the configuration, not a refusal of every request.
func TestFixedKeyAddress(t *testing.T) {
	for _, c := range []struct{ address, host, want string }{
		{"https://idp.internal:8443/keys", "", ""},
		{"https://10.0.0.5:8443/keys", "", ""},
		{"https://[fd00::1]:8443/keys", "", ""},
		{"https://keys.eu.example/keys", "keys.*.example", ""},
		{"http://idp.internal/keys", "", "begins with https://"},
		{"idp.internal/keys", "", "expected an address such as https://"},
		{"https:///keys", "", "expected an address such as https://"},
		{"https://u:hidden@idp.internal/keys", "", "without user and password"},
		{"https://idp.internal/keys", "idp.example", `host "idp.internal"`},
	} {
		spec := &Spec{ID: "acme", Scheme: SchemeEd25519, Signature: Signature{Names: []string{"X-Sig"}}, KeySource: &KeySource{URL: c.address, Kind: "pem"}}
		if c.host != "" {
			spec.KeySource.Hosts = []string{c.host}
		}
		_, err := Compile(spec)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "key_source.url: ") || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.address, err)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("error shows a password: %v", err)
		}
	}
}
