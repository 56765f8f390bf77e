package verifiers_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

const diagnosedBody = "{\"id\":\"evt_1\",\"type\":\"ping\",\"name\":\"caf\u00e9 <b>\",\"url\":\"https://a/b\",\"n\":1.0}"

// diagnosed is a signed request of a provider, changed, and its diagnosis.
func diagnosed(t *testing.T, id, secret string, change func(r *verifiers.Request), live []string, others ...verifiers.NamedSecret) verifiers.Diagnosis {
	t.Helper()
	p := compiled(t, id)
	r := signedRequest(t, p, secret)
	change(r)
	var secrets []verifiers.Secret
	for _, s := range live {
		secrets = append(secrets, verifiers.NewSecret([]byte(s)))
	}
	return p.Diagnose(context.Background(), r, secrets, others)
}

func compiled(t *testing.T, id string) *verifiers.Provider {
	t.Helper()
	spec := &verifiers.Spec{
		ID: id, Scheme: verifiers.SchemeHMAC, Signature: verifiers.Signature{Names: []string{"X-Signature"}, Encoding: "base64"}, Signed: []string{"{url}{body}"},
	}
	if id != "url_signed" {
		var err error
		if spec, err = catalogue.Lookup(id); err != nil {
			t.Fatal(err)
		}
	}
	p, err := verifiers.Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func signedRequest(t *testing.T, p *verifiers.Provider, secret string) *verifiers.Request {
	t.Helper()
	r := &verifiers.Request{
		Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: "hooks.example.com", Path: "/in/", RawQuery: "b=1&a=2"}, Header: http.Header{},
		Body: []byte(diagnosedBody), At: time.Unix(1700000000, 0),
	}
	if err := p.Sign(r, verifiers.NewSecret([]byte(secret)), "msg_1", r.At); err != nil {
		t.Fatal(err)
	}
	return r
}

// expectFinding checks that a diagnosis has a finding, proved or not, with a text in it.
func expectFinding(t *testing.T, name string, d verifiers.Diagnosis, code, text string, proved bool) {
	t.Helper()
	for _, f := range d.Findings {
		if f.Code == code && strings.Contains(f.Text, text) && f.Proved == proved {
			return
		}
	}
	t.Errorf("%s: no %s %q (proved %v) in %+v", name, code, text, proved, d)
}

func keep(*verifiers.Request) {}

func TestDiagnoseSecrets(t *testing.T) {
	const key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	other := verifiers.NamedSecret{Name: "source billing", Secret: verifiers.NewSecret([]byte("other"))}
	previous := verifiers.NamedSecret{Name: "replaced on 1 May", Previous: true, Secret: verifiers.NewSecret([]byte("old"))}
	for _, c := range []struct{ name, provider, signedWith, live, code, text string }{
		{"another source", "github", "other", "live", "other_secret", "source billing"},
		{"previous", "github", "old", "live", "previous_secret", "1 May"},
		{"line break", "github", "live", "live\n", "secret_form", "line break"},
		{"quotes", "github", "live", `"live"`, "secret_form", "quotes"},
		{"whsec_ stripped", "stripe", key, strings.TrimPrefix(key, "whsec_"), "secret_form", "with whsec_ in front"},
		{"whsec_ not decoded", "polar", key, key, "", ""},
	} {
		d := diagnosed(t, c.provider, c.signedWith, keep, []string{c.live}, other, previous)
		if c.code == "" {
			if d.Reason != "" {
				t.Errorf("%s: %+v", c.name, d)
			}
			continue
		}
		expectFinding(t, c.name, d, c.code, c.text, true)
		for _, f := range d.Findings {
			if strings.Contains(f.Text, c.signedWith) && c.signedWith != "live" && c.signedWith != "other" && c.signedWith != "old" {
				t.Errorf("%s: the secret is in %q", c.name, f.Text)
			}
		}
	}
	// Signed by a provider that uses the secret as text, configured as one that decodes it, and the other way round.
	text, decoded := compiled(t, "polar"), compiled(t, "standard")
	secrets := []verifiers.Secret{verifiers.NewSecret([]byte(key))}
	expectFinding(t, "as text", decoded.Diagnose(context.Background(), signedRequest(t, text, key), secrets, nil), "secret_form", "used as text", true)
	expectFinding(t, "decoded", text.Diagnose(context.Background(), signedRequest(t, decoded, key), secrets, nil), "secret_form", "decoded from base64, whsec_ removed", true)
}

func TestDiagnoseBodies(t *testing.T) {
	setBody := func(body string) func(*verifiers.Request) {
		return func(r *verifiers.Request) { r.Body = []byte(body) }
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(diagnosedBody)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, arrived, text string }{
		{"line break added", diagnosedBody + "\n", "without its trailing line break"},
		{"byte order mark", "\xef\xbb\xbf" + diagnosedBody, "without the byte order mark"},
		{"blanks", "  " + diagnosedBody, "without blanks"},
		{"indented", strings.ReplaceAll(diagnosedBody, ",\"", ",\n  \""), "compact JSON"},
		{"escaped", strings.ReplaceAll(diagnosedBody, "\u00e9", `\u00e9`), `with \uXXXX as characters`},
		{"php", strings.ReplaceAll(diagnosedBody, "/", `\/`), `with \/ as /`},
		{"latin1", strings.ReplaceAll(diagnosedBody, "\u00e9", "\xe9"), "in UTF-8"},
		{"compressed", packed.String(), "unpacked"},
	} {
		d := diagnosed(t, "github", "s", setBody(c.arrived), []string{"s"})
		expectFinding(t, c.name, d, "body", c.text, true)
		if len(d.Findings) != 1 {
			t.Errorf("%s: one cause has several findings: %+v", c.name, d.Findings)
		}
	}
	p := compiled(t, "github")
	for _, c := range []struct{ name, sent, arrived, text string }{
		{"line break removed", "{}\n", "{}", "with a trailing line break"},
		{"CRLF", "{\r\n}", "{\n}", "CRLF in place of LF"},
		{"LF", "{\n}", "{\r\n}", "LF in place of CRLF"},
		{"python", `{"a": 1, "b": "x,y: z\" "}`, `{"a":1,"b":"x,y: z\" "}`, "Python"},
		{"indent", "{\n  \"a\": 1\n}", `{"a":1}`, "two blanks"},
		{"sorted", `{"a":1,"b":2}`, `{"b":2,"a":1}`, "sorted"},
		{"unescaped", `{"a":"\u00e9"}`, "{\"a\":\"\u00e9\"}", `beyond ASCII as \uXXXX`},
		{"html", `{"a":"\u003cb\u003e"}`, `{"a":"<b>"}`, "<, > and &"},
		{"unphp", `{"a":"x\/y"}`, `{"a":"x/y"}`, "PHP"},
		{"from latin1", "{\"a\":\"\xe9\"}", "{\"a\":\"\u00e9\"}", "ISO 8859-1"},
		{"form", "a=x%20y", "a=x+y", "%20"},
	} {
		r := signedRequest(t, p, "s")
		r.Body = []byte(c.sent)
		secret := verifiers.NewSecret([]byte("s"))
		if err := p.Sign(r, secret, "", r.At); err != nil {
			t.Fatal(err)
		}
		r.Body = []byte(c.arrived)
		expectFinding(t, c.name, p.Diagnose(context.Background(), r, []verifiers.Secret{secret}, nil), "body", c.text, true)
	}
}

func TestDiagnoseTime(t *testing.T) {
	late := func(by time.Duration) func(*verifiers.Request) {
		return func(r *verifiers.Request) { r.At = r.At.Add(by) }
	}
	expectFinding(t, "late", diagnosed(t, "slack", "s", late(10*time.Minute), []string{"s"}), "clock_skew", "signed 10m0s before", true)
	expectFinding(t, "early", diagnosed(t, "slack", "s", late(-10*time.Minute), []string{"s"}), "clock_skew", "signed 10m0s after", true)
}

func TestDiagnoseAddress(t *testing.T) {
	change := func(f func(u *url.URL)) func(*verifiers.Request) {
		return func(r *verifiers.Request) { u := *r.URL; f(&u); r.URL = &u }
	}
	for _, c := range []struct {
		name, text string
		change     func(*verifiers.Request)
	}{
		{"scheme", "with https", change(func(u *url.URL) { u.Scheme = "http" })},
		{"host", "another host", func(r *verifiers.Request) {
			change(func(u *url.URL) { u.Host = "10.0.0.1:9000" })(r)
			r.Header.Set("X-Forwarded-Host", "hooks.example.com")
		}},
		{"prefix", "beginning of the path", change(func(u *url.URL) { u.Path = "/api" + u.Path })},
		{"cut prefix", "X-Forwarded-Prefix before", func(r *verifiers.Request) {
			change(func(u *url.URL) { u.Path = "/" })(r)
			r.Header.Set("X-Forwarded-Prefix", "/in")
		}},
		{"slash", "with a slash", change(func(u *url.URL) { u.Path = "/in" })},
	} {
		expectFinding(t, c.name, diagnosed(t, "url_signed", "s", c.change, []string{"s"}), "url", c.text, true)
	}
}

func TestDiagnoseHeaders(t *testing.T) {
	rename := func(from, to string) func(*verifiers.Request) {
		return func(r *verifiers.Request) {
			if to != "" {
				r.Header[to] = r.Header[from]
			}
			delete(r.Header, from)
		}
	}
	const sig = "X-Hub-Signature-256"
	expectFinding(t, "absent", diagnosed(t, "github", "s", rename(sig, ""), []string{"s"}), "header_absent", sig, false)
	expectFinding(t, "underscores", diagnosed(t, "github", "s", rename(sig, "X_hub_signature_256"), []string{"s"}), "header_renamed", "X_hub_signature_256", false)
	expectFinding(t, "legacy", diagnosed(t, "github", "s", rename(sig, "X-Hub-Signature"), []string{"s"}), "legacy_signature", "X-Hub-Signature", false)
	repeat := func(r *verifiers.Request) { r.Header.Add(sig, r.Header.Get(sig)) }
	expectFinding(t, "repeated", diagnosed(t, "github", "s", repeat, []string{"s"}), "header_repeated", sig, false)
	version := func(r *verifiers.Request) { r.Header.Set(sig, "sha1=abcdef") }
	d := diagnosed(t, "github", "s", version, []string{"s"})
	expectFinding(t, "version", d, "other_version", `"sha1="`, false)
	for _, f := range d.Findings {
		if strings.Contains(f.Text, "abcdef") {
			t.Errorf("the signature is in %q", f.Text)
		}
	}
	empty := func(r *verifiers.Request) { r.Body = nil }
	expectFinding(t, "empty", diagnosed(t, "github", "s", empty, []string{"s"}), "body_empty", "empty", false)
	coded := func(r *verifiers.Request) { r.Body = append(r.Body, 'x'); r.Header.Set("Content-Encoding", "gzip") }
	expectFinding(t, "coded", diagnosed(t, "github", "s", coded, []string{"s"}), "content_encoding", "unpack", false)
}

// TestDiagnoseScheme finds mistakes in a user's own description of a provider.
func TestDiagnoseScheme(t *testing.T) {
	truth := verifiers.Spec{
		ID: "acme", Scheme: verifiers.SchemeHMAC, Algorithm: "sha512", Signed: []string{"{timestamp}.{body}"},
		Signature: verifiers.Signature{Names: []string{"X-Sig"}, Encoding: "base64"}, Timestamp: verifiers.Timestamp{In: "header", Names: []string{"X-Time"}},
	}
	p, err := verifiers.Compile(&truth)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code, text string
		mistake    verifiers.Spec
	}{
		{"algorithm", "sha512", verifiers.Spec{Algorithm: "sha256"}},
		{"encoding", "base64", verifiers.Spec{Signature: verifiers.Signature{Encoding: "base64url"}}},
		{"signed_content", "{timestamp}.{body}", verifiers.Spec{Signed: []string{"{body}"}}},
	} {
		wrong, err := verifiers.Compile(truth.Merge(&c.mistake))
		if err != nil {
			t.Fatal(err)
		}
		r := signedRequest(t, p, "s")
		for wrong.Diagnose(context.Background(), r, []verifiers.Secret{verifiers.NewSecret([]byte("s"))}, nil).Reason == "" {
			r.Body = append(r.Body, ' ') // until the encodings differ
			if err := p.Sign(r, verifiers.NewSecret([]byte("s")), "", r.At); err != nil {
				t.Fatal(err)
			}
		}
		expectFinding(t, c.code, wrong.Diagnose(context.Background(), r, []verifiers.Secret{verifiers.NewSecret([]byte("s"))}, nil), c.code, c.text, true)
	}
}

// TestDiagnoseChecks tells a right signature with a wrong claim from a wrong signature.
func TestDiagnoseChecks(t *testing.T) {
	spec := verifiers.Spec{
		ID: "acme", Scheme: verifiers.SchemeHMAC, Signature: verifiers.Signature{Names: []string{"X-Sig"}},
		Checks: []verifiers.Check{{Expr: "json:id", Equals: "literal:other"}},
	}
	p, err := verifiers.Compile(&spec)
	if err != nil {
		t.Fatal(err)
	}
	d := p.Diagnose(context.Background(), signedRequest(t, p, "s"), []verifiers.Secret{verifiers.NewSecret([]byte("s"))}, nil)
	expectFinding(t, "check", d, "check", "json:id", true)
}

// TestDiagnoseEnds checks that a diagnosis of anything is bounded and that one of nothing is empty.
func TestDiagnoseEnds(t *testing.T) {
	if d := diagnosed(t, "github", "s", keep, []string{"s"}); d.Reason != "" || len(d.Findings) > 0 {
		t.Errorf("a genuine request is diagnosed as %+v", d)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p := compiled(t, "github")
	r := signedRequest(t, p, "s")
	r.Body = append(r.Body, '\n')
	if d := p.Diagnose(ctx, r, []verifiers.Secret{verifiers.NewSecret([]byte("s"))}, nil); d.Reason != "mismatch" || len(d.Findings) > 0 {
		t.Errorf("after its end: %+v", d)
	}
	forged := func(r *verifiers.Request) { r.Body = []byte(`{"forged":true}`) }
	for _, f := range diagnosed(t, "github", "s", forged, []string{"s"}).Findings {
		if f.Proved {
			t.Errorf("forged: %+v", f)
		}
	}
}
