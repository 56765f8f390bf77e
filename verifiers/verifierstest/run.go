// Package verifierstest is what every provider must pass: its vectors verify, nothing that differs from them in a single byte does, times are kept, secrets
// rotate, what it signs it verifies, its handshakes are answered byte for byte.
package verifierstest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// Run runs the whole suite for one provider.
func Run(t *testing.T, spec *verifiers.Spec) {
	t.Run("spec", func(t *testing.T) { testSpec(t, spec) })
	t.Run("examples", func(t *testing.T) { testExamples(t, spec) })
	for i := range spec.Vectors {
		v := &spec.Vectors[i]
		t.Run("vector "+v.Name, func(t *testing.T) { testVector(t, spec, v) })
	}
	t.Run("sign", func(t *testing.T) { testSigning(t, spec) })
	for i := range spec.Handshakes {
		h := &spec.Handshakes[i]
		t.Run("handshake "+h.Name, func(t *testing.T) { testHandshake(t, spec, h) })
	}
}

// testSpec checks that an entry says what users need, compiles and survives being written as JSON.
func testSpec(t *testing.T, spec *verifiers.Spec) {
	switch spec.Confidence {
	case verifiers.ConfidenceSDK, verifiers.ConfidenceOfficial, verifiers.ConfidenceSecondary, verifiers.ConfidenceSeed, verifiers.ConfidenceUnconfirmed:
	default:
		t.Errorf("confidence %q is not one of the levels", spec.Confidence)
	}
	if spec.Name == "" {
		t.Error("name is missing")
	}
	if spec.Docs == "" && spec.Confidence != verifiers.ConfidenceSeed {
		t.Error("docs are missing")
	}
	if spec.Docs != "" && !strings.HasPrefix(spec.Docs, "https://") {
		t.Errorf("docs %q is not an https address", spec.Docs)
	}
	if len(spec.Vectors) == 0 && spec.Scheme != verifiers.SchemeNone && !signable(spec) {
		t.Error("neither vectors nor a round trip can prove this entry")
	}
	compile(t, spec, nil, nil)
	first, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var back verifiers.Spec
	if err := json.Unmarshal(first, &back); err != nil {
		t.Fatal(err)
	}
	second, err := json.Marshal(&back)
	if err != nil || string(first) != string(second) {
		t.Errorf("JSON does not survive a round trip: %v\n%s\n%s", err, first, second)
	}
	if !reflect.DeepEqual(normal(spec), normal(&back)) {
		t.Error("JSON loses something")
	}
}

// normal drops the difference between empty and absent lists and maps.
func normal(s *verifiers.Spec) *verifiers.Spec {
	out := *s
	out.Examples, out.Vectors, out.Handshakes = nil, nil, nil
	return &out
}

// compile compiles spec with placeholder values for params that are required.
func compile(t *testing.T, spec *verifiers.Spec, params map[string]string, documents map[string]string) *verifiers.Provider {
	t.Helper()
	p, err := verifiers.Compile(withParams(spec, params), verifiers.WithKeyFetcher(fetcher(documents)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// testParam is what required params get where a test gives no value.
const testParam = "test-param"

func withParams(spec *verifiers.Spec, params map[string]string) *verifiers.Spec {
	out := *spec
	out.Values = map[string]string{}
	for _, p := range spec.Params {
		if v, ok := params[p.Name]; ok {
			out.Values[p.Name] = v
		} else if p.Required && p.Default == "" {
			out.Values[p.Name] = knownParam(spec, p.Name)
		}
	}
	return &out
}

// knownParam is a param's value: that of a vector for those of which an address of keys is made, else any text.
func knownParam(spec *verifiers.Spec, name string) string {
	if spec.KeySource != nil && strings.Contains(spec.KeySource.URL, "{param."+name+"}") {
		for _, v := range spec.Vectors {
			if known := v.Params[name]; known != "" {
				return known
			}
		}
	}
	return testParam
}

// fetcher answers key addresses from a map.
type fetcher map[string]string

// Fetch implements verifiers.KeyFetcher.
func (f fetcher) Fetch(_ context.Context, rawURL string, allowed func(string) bool) ([]byte, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	if !allowed(u.Hostname()) {
		return nil, verifiers.ErrMismatch
	}
	if doc, ok := f[rawURL]; ok {
		return []byte(doc), nil
	}
	return nil, verifiers.ErrKeysUnavailable
}

// secretsOf wraps texts.
func secretsOf(texts ...string) []verifiers.Secret {
	var out []verifiers.Secret
	for _, s := range texts {
		if s != "" {
			out = append(out, verifiers.NewSecret([]byte(s)))
		}
	}
	return out
}

// clone copies a request so that it can be changed.
func clone(r *verifiers.Request) *verifiers.Request {
	out := *r
	out.Header = r.Header.Clone()
	out.Body = append([]byte(nil), r.Body...)
	u := *r.URL
	out.URL = &u
	return &out
}

// request makes a request of a vector's parts.
func request(t *testing.T, method, rawURL string, headers map[string]string, body string) *verifiers.Request {
	t.Helper()
	if method == "" {
		method = http.MethodPost
	}
	if rawURL == "" {
		rawURL = "https://hooks.example.com/"
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	r := &verifiers.Request{Method: method, URL: u, Header: http.Header{}, Body: []byte(body), At: now}
	for name, v := range headers {
		for _, line := range strings.Split(v, "\n") {
			r.Header.Add(name, line)
		}
	}
	return r
}

// now is the time of everything that has none of its own.
var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// mustRefuse fails the test if a request verifies, or if it is refused for no known reason.
func mustRefuse(t *testing.T, p *verifiers.Provider, r *verifiers.Request, secrets []verifiers.Secret, what string) {
	t.Helper()
	if err := verify(p, r, secrets); err == nil {
		t.Errorf("accepted: %s", what)
	} else if verifiers.Reason(err) == "other" {
		t.Errorf("%s: refused without a reason: %v", what, err)
	}
}

func mustAccept(t *testing.T, p *verifiers.Provider, r *verifiers.Request, secrets []verifiers.Secret, what string) verifiers.Proof {
	t.Helper()
	proof, err := p.Verify(context.Background(), r, secrets)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return proof
}

func verify(p *verifiers.Provider, r *verifiers.Request, secrets []verifiers.Secret) error {
	_, err := p.Verify(context.Background(), r, secrets)
	return err
}

func isAny(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
