package verifiers_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// TestPickedValues signs values that are picked out of a body and then changes what the signature does not cover. What readers differ about is refused.
func TestPickedValues(t *testing.T) {
	const signed = `{"amount":5,"note":"n"}`
	deep := strings.Repeat("[", 10_000_000)
	form := func(fields ...string) string {
		var pairs []string
		for i := 0; i < len(fields); i += 2 {
			pairs = append(pairs, fields[i]+"="+url.QueryEscape(fields[i+1]))
		}
		return strings.Join(pairs, "&")
	}
	for name, c := range map[string]struct {
		content, signed string
		good, bad       []string
	}{
		"values of the body": {
			content: "{json:amount}", signed: signed,
			good: []string{signed, ` {"note":"another","amount":5}`},
			bad: []string{
				`{"amount":5,"amount":500}`, `{"amount":5,"n":{"a":1,"a":2}}`,
				`{"amount":5,"x":NaN,"amount":500}`, `{"amount":5,"x":Infinity}`, `{"amount":5,"amount":500`, "\ufeff" + `{"amount":5,"amount":500}`,
				`{"amount":5,"amount":500,"x":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`, `{"amount":5,"x":` + deep,
			},
		},
		"a field": {
			content: "{form:amount}", signed: "amount=5",
			good: []string{"amount=5&note=[draft", "note=%7B&amount=5"},
			bad:  []string{"amount=5&amount=500", `{"amount":NaN}&amount=5`, deep + "&amount=5"},
		},
		"values of a field's JSON": {
			content: "{form:data>json:amount}", signed: form("data", signed),
			good: []string{form("data", signed, "note", "draft")},
			bad: []string{
				form("data", `{"amount":5,"amount":500}`), form("data", signed, "data", `{"amount":500}`), form("data", `{"amount":5,"x":NaN,"amount":500}`),
				form("data", `{"amount":5,"x":`+deep),
			},
		},
	} {
		p, err := verifiers.Compile(&verifiers.Spec{
			ID: "picks", Scheme: verifiers.SchemeHMAC, Signature: verifiers.Signature{Names: []string{"X-Sig"}}, Signed: []string{c.content},
		})
		if err != nil {
			t.Fatal(err)
		}
		secret := verifiers.NewSecret([]byte("of the signer"))
		r := sample(c.signed)
		r.Header.Del("Content-Type")
		if err := p.Sign(r, secret, "", time.Now()); err != nil {
			t.Fatal(err)
		}
		checkVariants(t, name, p, r, secret, func(body string) { r.Body = []byte(body) }, c.good, c.bad)
	}
}

// checkVariants puts texts into a signed request: with the good ones it verifies, with the bad ones it does not.
func checkVariants(t *testing.T, name string, p *verifiers.Provider, r *verifiers.Request, secret verifiers.Secret, put func(string), good, bad []string) {
	t.Helper()
	check := func(texts []string, want error) {
		t.Helper()
		for _, text := range texts {
			put(text)
			if _, err := p.Verify(context.Background(), r, []verifiers.Secret{secret}); !errors.Is(err, want) {
				t.Errorf("%s: %.80s: %v, want %v", name, text, err, want)
			}
		}
	}
	check(good, nil)
	check(bad, verifiers.ErrMismatch)
}

// TestSignedQuery signs a query and then adds to it what the signature does not cover.
func TestSignedQuery(t *testing.T) {
	for name, c := range map[string]struct {
		spec      verifiers.Spec
		signed    string
		good, bad []string
	}{
		"values": {
			spec: verifiers.Spec{Signed: []string{"{query.id}"}}, signed: "id=5",
			good: []string{"note=n&id=5", "note=n&note=m&id=5"}, bad: []string{"id=5&id=6", "id=5&id=%zz", "id=5&a;id=6"},
		},
		"a section": {
			spec: verifiers.Spec{Signed: []string{"{?query.id}id:{query.id};{/}{body}"}}, signed: "id=5",
			good: []string{"id=5&note=n"}, bad: []string{"id=5&id=6"},
		},
		"sorted":   {spec: verifiers.Spec{Signed: []string{"{query_sorted}"}}, signed: "a=1&b=2", good: []string{"b=2&a=1"}, bad: []string{"a=1&b=2&b=%zz", "a=1&b=2&c;d"}},
		"escaped":  {spec: verifiers.Spec{Signed: []string{"{query_encoded}"}}, signed: "a=1&b=2", good: []string{"b=2&a=1"}, bad: []string{"a=1&b=2&b=%zz"}},
		"variants": {spec: verifiers.Spec{Signed: []string{"{url}"}, URLVariants: []string{"encoded"}}, signed: "a=1&b=2", good: []string{"b=2&a=1"}, bad: []string{"a=1&b=2&b=%zz"}},
	} {
		c.spec.ID, c.spec.Scheme, c.spec.Signature = "query", verifiers.SchemeHMAC, verifiers.Signature{Names: []string{"X-Sig"}}
		p, err := verifiers.Compile(&c.spec)
		if err != nil {
			t.Fatal(err)
		}
		secret := verifiers.NewSecret([]byte("of the signer"))
		r := sample(`{}`)
		r.URL.RawQuery = c.signed
		if err := p.Sign(r, secret, "", time.Now()); err != nil {
			t.Fatal(err)
		}
		checkVariants(t, name, p, r, secret, func(query string) { r.URL.RawQuery = query }, c.good, c.bad)
	}
}

// TestAddressAsBody takes the signature of an address, of CryptAPI's GET, for a POST: with the address as the body, or with the end of it.
func TestAddressAsBody(t *testing.T) {
	p, err := verifiers.Compile(lookup(t, "cryptapi"))
	if err != nil {
		t.Fatal(err)
	}
	secrets := []verifiers.Secret{verifiers.NewSecret([]byte(privatePEM(t, mustRSA(t))))}
	r := sample("")
	r.Method, r.URL.RawQuery = http.MethodGet, "uuid=1&value_coin=5&pending=1"
	if err := p.Sign(r, secrets[0], "", time.Now()); err != nil {
		t.Fatal(err)
	}
	verify := func(method, query, body string) error {
		r.Method, r.URL.RawQuery, r.Body = method, query, []byte(body)
		_, err := p.Verify(context.Background(), r, secrets)
		return err
	}
	address := r.URL.String()
	if err := verify(http.MethodGet, "uuid=1&value_coin=5&pending=1", ""); err != nil {
		t.Error(err)
	}
	for query, body := range map[string]string{"": address, "uuid=1&value_coin=5": "&pending=1", "uuid=1&value_coin=5&pending=1": "pending=0"} {
		if err := verify(http.MethodPost, query, body); !errors.Is(err, verifiers.ErrMismatch) {
			t.Errorf("%q with the body %q: %v", query, body, err)
		}
	}
}
