package verifiers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

func lookup(t *testing.T, id string) *verifiers.Spec {
	t.Helper()
	s, err := catalogue.Lookup(id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestMerge lets a user's block change one thing of a catalogue entry and nothing else.
func TestMerge(t *testing.T) {
	base := lookup(t, "stripe")
	before, err := json.Marshal(base)
	if err != nil {
		t.Fatal(err)
	}
	past := verifiers.Duration(time.Hour)
	merged := base.Merge(&verifiers.Spec{
		Timestamp: verifiers.Timestamp{Past: &past}, Event: verifiers.Event{Subject: "json:data.object.customer"}, Deadline: verifiers.Duration(3 * time.Second),
		Values: map[string]string{"a": "b"},
	})
	if *merged.Timestamp.Past != past || *merged.Timestamp.Future != verifiers.Off || merged.Event.ID != base.Event.ID || merged.Event.Subject != "json:data.object.customer" {
		t.Errorf("%+v", merged)
	}
	if merged.Signature.Format != base.Signature.Format || len(merged.Vectors) != len(base.Vectors) || merged.Values["a"] != "b" {
		t.Errorf("%+v", merged)
	}
	if other := base.Merge(&verifiers.Spec{Signed: []string{"{body}"}}); len(other.Vectors) != 0 || len(other.Signed) != 1 || other.Signed[0] != "{body}" {
		t.Errorf("vectors that prove nothing any more are kept: %+v", other)
	}
	jwt := lookup(t, "netlify")
	if other := jwt.Merge(&verifiers.Spec{JWT: &verifiers.JWT{BodyHash: "digest"}}); other.JWT.BodyHash != "digest" || other.JWT.Algorithms[0] != "HS256" || jwt.JWT.BodyHash != "sha256" {
		t.Errorf("%+v, base %+v", other.JWT, jwt.JWT)
	}
	if after, err := json.Marshal(base); err != nil || string(after) != string(before) {
		t.Errorf("the catalogue's entry was changed: %s", after)
	}
	if same := base.Merge(nil); !reflect.DeepEqual(same, base) {
		t.Error("nothing merged is something else")
	}
}

// TestSet describes a provider in the words of a configuration, as the manual shows it.
func TestSet(t *testing.T) {
	s := &verifiers.Spec{ID: "acme", Scheme: verifiers.SchemeHMAC}
	for _, line := range [][]string{
		{"header", "X-Acme-Signature"}, {"algorithm", "sha512"}, {"encoding", "base64"}, {"format", "t={timestamp},v1={signature}"}, {"signed", "{timestamp}.{body}"},
		{"tolerance", "10m", "off"}, {"event_id", "header:X-Acme-Id"}, {"event_type", "json:a", "json:b"}, {"message_id", "header:X-Acme-Id"}, {"key", "hex", "strip", "k_"},
	} {
		if ok, err := s.Set(line[0], line[1:]...); !ok || err != nil {
			t.Errorf("%v: %v %v", line, ok, err)
		}
	}
	p, err := verifiers.Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	if past, future := p.Tolerance(); past != verifiers.Duration(10*time.Minute) || future != verifiers.Off {
		t.Errorf("tolerance %s %s", past, future)
	}
	if s.Event.Type != "json:a json:b" || s.Key.Decode != "hex" || s.Key.StripPrefix != "k_" {
		t.Errorf("%+v", s)
	}
	s = &verifiers.Spec{ID: "acme", Scheme: verifiers.SchemeHMAC}
	for _, line := range [][]string{{"header", "X-Sig"}, {"prefix", "sha256=", "optional"}, {"timestamp", "header", "X-Time", "unix_ms", "event"}, {"signed", "{timestamp}{body}", "{body}"}} {
		if _, err := s.Set(line[0], line[1:]...); err != nil {
			t.Errorf("%v: %v", line, err)
		}
	}
	if s.Signature.Format != "sha256={signature}" || !s.Signature.PrefixOptional || s.Timestamp.Unit != "unix_ms" || s.Timestamp.Meaning != "event" || len(s.Signed) != 2 {
		t.Errorf("%+v", s)
	}
	for _, name := range verifiers.OptionNames() {
		if ok, err := new(verifiers.Spec).Set(name); !ok || err == nil || !strings.Contains(err.Error(), "expected") {
			t.Errorf("%s without words: %v %v", name, ok, err)
		}
	}
	for _, line := range [][]string{
		{"tolerance", "soon"}, {"timestamp", "header"}, {"timestamp", "header", "X", "weeks"}, {"key", "rot13"}, {"key", "hex", "strip"}, {"key", "hex", "peel", "x"}, {"format", "x"},
		{"prefix", "a", "b"}, {"event_id", "cookie:x"}, {"refuse", "no"}, {"algorithm", "a", "b"},
	} {
		if ok, err := new(verifiers.Spec).Set(line[0], line[1:]...); !ok || err == nil || !strings.HasPrefix(err.Error(), line[0]+": ") {
			t.Errorf("%v: %v %v", line, ok, err)
		}
	}
	if ok, err := new(verifiers.Spec).Set("forward", "x"); ok || err != nil {
		t.Errorf("an option of somebody else: %v %v", ok, err)
	}
}

// TestCompileErrors checks that a mistake is named with its field and what was expected.
func TestCompileErrors(t *testing.T) {
	hmac := func(change func(s *verifiers.Spec)) *verifiers.Spec {
		s := &verifiers.Spec{ID: "acme", Scheme: verifiers.SchemeHMAC, Signature: verifiers.Signature{Names: []string{"X-Sig"}}}
		change(s)
		return s
	}
	minute := verifiers.Duration(time.Minute)
	for field, s := range map[string]*verifiers.Spec{
		"scheme":              hmac(func(s *verifiers.Spec) { s.Scheme = "xor" }),
		"custom":              hmac(func(s *verifiers.Spec) { s.Custom = "nobody" }),
		"algorithm":           hmac(func(s *verifiers.Spec) { s.Algorithm = "crc32" }),
		"prehash":             hmac(func(s *verifiers.Spec) { s.Prehash = "crc32" }),
		"algorithm_by.names":  hmac(func(s *verifiers.Spec) { s.AlgorithmBy = &verifiers.AlgorithmBy{From: "header:X"} }),
		"key.decode":          hmac(func(s *verifiers.Spec) { s.Key.Decode = "rot13" }),
		"key.id":              hmac(func(s *verifiers.Spec) { s.Key.ID = "cookie:x" }),
		"signature.in":        hmac(func(s *verifiers.Spec) { s.Signature.In = "cookie" }),
		"signature.names":     hmac(func(s *verifiers.Spec) { s.Signature.Names = nil }),
		"signature.encoding":  hmac(func(s *verifiers.Spec) { s.Signature.Encoding = "base32" }),
		"signature.format":    hmac(func(s *verifiers.Spec) { s.Signature.Format = "v1=" }),
		"signature.numbered":  hmac(func(s *verifiers.Spec) { s.Signature.Names = []string{"X-{n}"} }),
		"signed[0]":           hmac(func(s *verifiers.Spec) { s.Signed = []string{"{nobody}"} }),
		"signed[1]":           hmac(func(s *verifiers.Spec) { s.Signed = []string{"{body}", "constant"} }),
		"timestamp.in":        hmac(func(s *verifiers.Spec) { s.Timestamp.In = "cookie" }),
		"timestamp.names":     hmac(func(s *verifiers.Spec) { s.Timestamp.In = "header" }),
		"timestamp.unit":      hmac(func(s *verifiers.Spec) { s.Timestamp.Unit = "weeks" }),
		"timestamp.meaning":   hmac(func(s *verifiers.Spec) { s.Timestamp.Meaning = "maybe" }),
		"timestamp.past":      hmac(func(s *verifiers.Spec) { s.Timestamp.Past = &minute }),
		"message_id":          hmac(func(s *verifiers.Spec) { s.MessageID = "cookie:x" }),
		"url_variants":        hmac(func(s *verifiers.Spec) { s.URLVariants = []string{"upside_down"} }),
		"values.region":       hmac(func(s *verifiers.Spec) { s.Params = []verifiers.Param{{Name: "region", Required: true}} }),
		"values.colour":       hmac(func(s *verifiers.Spec) { s.Values = map[string]string{"colour": "red"} }),
		"checks[0]":           hmac(func(s *verifiers.Spec) { s.Checks = []verifiers.Check{{Expr: "json:a"}} }),
		"checks[0].equals":    hmac(func(s *verifiers.Spec) { s.Checks = []verifiers.Check{{Expr: "json:a", Equals: "param:none"}} }),
		"methods":             hmac(func(s *verifiers.Spec) { s.Methods = []string{"POKE"} }),
		"body":                hmac(func(s *verifiers.Spec) { s.Body = []string{"tea"} }),
		"event.id":            hmac(func(s *verifiers.Spec) { s.Event.ID = "cookie:x" }),
		"event.time_unit":     hmac(func(s *verifiers.Spec) { s.Event.TimeUnit = "weeks" }),
		"dedup.key":           hmac(func(s *verifiers.Spec) { s.Dedup.Key = "cookie:x" }),
		"dedup.whole":         hmac(func(s *verifiers.Spec) { s.Dedup.Whole = true }),
		"batch.elements":      hmac(func(s *verifiers.Spec) { s.Batch = &verifiers.Batch{} }),
		"ack.status":          hmac(func(s *verifiers.Spec) { s.Ack.Status = 302 }),
		"ack.body":            hmac(func(s *verifiers.Spec) { s.Ack.Empty, s.Ack.Body = true, "ok" }),
		"refuse_status":       hmac(func(s *verifiers.Spec) { s.RefuseStatus = 200 }),
		"deadline":            hmac(func(s *verifiers.Spec) { s.Deadline = -5 }),
		"handshakes[0].match": hmac(func(s *verifiers.Spec) { s.Handshakes = []verifiers.Handshake{{Name: "any"}} }),
		"key_source.hosts":    hmac(func(s *verifiers.Spec) { s.KeySource = &verifiers.KeySource{URL: "{header.X}", Kind: "pem"} }),
		"key_source.url":      hmac(func(s *verifiers.Spec) { s.KeySource = &verifiers.KeySource{URL: "http://x.example/", Kind: "pem"} }),
		"key_source.kind":     hmac(func(s *verifiers.Spec) { s.KeySource = &verifiers.KeySource{URL: "https://x.example/", Kind: "zip"} }),
		"key_source":          hmac(func(s *verifiers.Spec) { s.Scheme = verifiers.SchemeRSACert }),
		"jwt.algorithms":      hmac(func(s *verifiers.Spec) { s.Scheme = verifiers.SchemeJWT }),
		"jwt.claims.a": hmac(func(s *verifiers.Spec) {
			s.Scheme, s.JWT = "jwt", &verifiers.JWT{Algorithms: []string{"HS256"}, Claims: map[string]string{"a": "{body}"}}
		}),
		"jwt.jku": hmac(func(s *verifiers.Spec) {
			s.Scheme, s.JWT = "jwt", &verifiers.JWT{Algorithms: []string{"ES256"}, JKU: []string{"http://x"}}
		}),
		"padding":              hmac(func(s *verifiers.Spec) { s.Scheme, s.Padding = "rsa", "none" }),
		"signature.ecdsa":      hmac(func(s *verifiers.Spec) { s.Scheme, s.Signature.ECDSA = "ecdsa", "xml" }),
		"handshakes[0].signed": {ID: "acme", Scheme: "none", Handshakes: []verifiers.Handshake{{Methods: []string{"GET"}, Signed: true}}},
		"handshakes[0].visit_hosts": hmac(func(s *verifiers.Spec) {
			s.Handshakes = []verifiers.Handshake{{Methods: []string{"GET"}, Visit: "json:url"}}
		}),
	} {
		_, err := verifiers.Compile(s)
		if err == nil || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
		checkOptionError(t, err)
	}
	if _, err := verifiers.Compile(nil); err == nil {
		t.Error("nothing compiles")
	}
}

// TestSecretsStayHidden checks that no way of printing shows a secret, and that no error does.
func TestSecretsStayHidden(t *testing.T) {
	const secret = "zq!not-base64-or-hex!qz"
	s := verifiers.NewSecret([]byte(secret))
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%c", "%U"} {
		for _, v := range []any{s, &s, []verifiers.Secret{s}, struct{ S verifiers.Secret }{s}} {
			if text := fmt.Sprintf(format, v); strings.Contains(text, "not-base64") || strings.Contains(text, "6e6f742d626173653634") || strings.Contains(text, "110 111 116") {
				t.Errorf("%s of %T: %s", format, v, text)
			}
		}
	}
	for _, spec := range []*verifiers.Spec{
		{ID: "a", Scheme: "hmac", Signature: verifiers.Signature{Names: []string{"X"}}, Key: verifiers.Key{Decode: "hex"}},
		{ID: "a", Scheme: "standard"},
		{ID: "a", Scheme: "rsa", Signature: verifiers.Signature{Names: []string{"X"}}},
		{ID: "a", Scheme: "ed25519", Signature: verifiers.Signature{Names: []string{"X"}}},
	} {
		p, err := verifiers.Compile(spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.CheckSecret(s); err == nil || strings.Contains(err.Error(), "not-base64") {
			t.Errorf("%s: %v", spec.Scheme, err)
		}
		if err := p.Sign(bearer(""), s, "m", time.Unix(1, 0)); err == nil || strings.Contains(err.Error(), "not-base64") {
			t.Errorf("%s: %v", spec.Scheme, err)
		}
	}
}

// TestStandardVersions mixes shared secrets and key pairs, in the header and in the configuration.
func TestStandardVersions(t *testing.T) {
	p, err := verifiers.Compile(lookup(t, "standard"))
	if err != nil {
		t.Fatal(err)
	}
	const shared, private = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	const public, foreign = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	sign := func(secret string) string {
		r := bearer("")
		if err := p.Sign(r, verifiers.NewSecret([]byte(secret)), "msg_1", r.At); err != nil {
			t.Fatal(err)
		}
		return r.Header.Get("webhook-signature")
	}
	v1, v1a := sign(shared), sign(private)
	if !strings.HasPrefix(v1, "v1,") || !strings.HasPrefix(v1a, "v1a,") {
		t.Fatalf("%s %s", v1, v1a)
	}
	r := bearer("")
	r.Header.Set("webhook-id", "msg_1")
	r.Header.Set("webhook-timestamp", "1700000000")
	for _, c := range []struct {
		header  string
		secrets []string
		want    error
	}{
		{v1, []string{shared}, nil}, {v1a, []string{public}, nil}, {v1 + " " + v1a, []string{shared}, nil}, {v1a + " v2,xx " + v1, []string{public}, nil},
		{v1, []string{public, shared}, nil}, {v1a, []string{foreign, public}, nil}, {v1 + " " + v1a, []string{foreign, public}, nil},
		{v1, []string{public}, verifiers.ErrMalformed}, {v1a, []string{shared}, verifiers.ErrMalformed}, {v1, []string{foreign}, verifiers.ErrMismatch},
		{v1, []string{foreign, public}, verifiers.ErrMismatch}, {"", []string{public, shared}, verifiers.ErrUnsigned},
		{"v1," + strings.TrimPrefix(v1a, "v1a,"), []string{public}, verifiers.ErrMalformed},
	} {
		r.Header.Set("webhook-signature", c.header)
		expectErr(t, fmt.Sprintf("%.6s with %.6s", c.header, c.secrets), verifyErr(p, r, c.secrets...), c.want)
	}
}

// TestIdentifyBatch takes requests apart and refuses those that are none.
func TestIdentifyBatch(t *testing.T) {
	spec := &verifiers.Spec{
		ID: "acme", Scheme: "none", Body: []string{"json"}, Event: verifiers.Event{Type: "header:X-Type", Subject: "json:nothing"},
		Batch: &verifiers.Batch{Elements: "items", Max: 3, Event: verifiers.Event{ID: "json:id"}},
	}
	p, err := verifiers.Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	r := bearer("")
	r.Header.Set("X-Type", "thing")
	identify := func(body string) ([]verifiers.Identity, error) {
		r.Body = []byte(body)
		return p.Identify(r, true)
	}
	ids, err := identify(`{"items":[{"id":"a"},{"id":"b"},{"x": 1 }]}`)
	if err != nil || len(ids) != 3 || ids[0].EventID != "a" || ids[1].DedupKey != "b" || ids[2].Type != "thing" || string(ids[2].Body) != `{"x": 1 }` || len(ids[2].EventID) != 64 {
		t.Errorf("%+v %v", ids, err)
	}
	if ids, err := identify(`{"items":[]}`); err != nil || len(ids) != 0 {
		t.Errorf("empty batch: %v %v", ids, err)
	}
	for _, body := range []string{``, `{`, `{"items":`, `{"items":{"a":1}}`, `{"other":[]}`, `{"items":[1,2,3,4]}`, `[]`} {
		if ids, err := identify(body); !errors.Is(err, verifiers.ErrUnreadable) {
			t.Errorf("%s: %v %v", body, ids, err)
		}
	}
	r.Body = []byte(`{"items":[{"id":"a"},{"id":"b"}]}`)
	whole, err := p.Identify(r, false)
	if err != nil || len(whole) != 1 || whole[0].Body != nil {
		t.Errorf("not split: %+v %v", whole, err)
	}
	r.Header.Set("X-Type", strings.Repeat("t", 5000))
	if long, err := p.Identify(r, false); err != nil || len(long[0].Type) > 100 {
		t.Errorf("a long type is kept whole: %d bytes, %v", len(long[0].Type), err)
	}
}

// TestNeeds checks what configurations are asked for.
func TestNeeds(t *testing.T) {
	for id, want := range map[string]verifiers.Needs{
		"stripe":     {Secret: "signing secret"},
		"verifeye":   {Unsigned: true},
		"vericato":   {Unsigned: true},
		"twilio":     {Secret: "auth token", PublicURL: true},
		"gitlab":     {Secret: "token"},
		"asana":      {Secret: "X-Hook-Secret", SecretByHandshake: true},
		"fusionauth": {Secret: "signing key", KeyFetcher: true, KeyAddress: "instance"},
		"paypal":     {Secret: "public key", SecretOptional: true, KeyFetcher: true, Params: lookup(t, "paypal").Params},
	} {
		if got := lookup(t, id).Needs(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, expected %+v", id, got, want)
		}
	}
}

// TestRedacted masks what a configuration gives in confidence.
func TestRedacted(t *testing.T) {
	s := lookup(t, "ebay").Merge(&verifiers.Spec{Values: map[string]string{"verification_token": "hidden-token", "endpoint": "https://h.example/"}})
	b, err := json.Marshal(s.Redacted())
	if err != nil || strings.Contains(string(b), "hidden-token") || !strings.Contains(string(b), "https://h.example/") {
		t.Errorf("%s %v", b, err)
	}
	if s.Values["verification_token"] != "hidden-token" {
		t.Error("the original was changed")
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"5m": 5 * time.Minute, "72h": 72 * time.Hour, "7d": 7 * 24 * time.Hour, "off": -1, "0s": 0, "1h30m": 90 * time.Minute} {
		d, err := verifiers.ParseDuration(text)
		if err != nil || d.Std() != want {
			t.Errorf("%s: %v %v", text, d, err)
		}
		if again, err := verifiers.ParseDuration(d.String()); err != nil || again != d {
			t.Errorf("%s is written %s", text, d)
		}
	}
	for _, text := range []string{"", "5", "-5m", "d", "-1d", "1.5d", "99999999d", "never"} {
		if d, err := verifiers.ParseDuration(text); err == nil {
			t.Errorf("%q is %v", text, d)
		}
	}
	for text, want := range map[string]verifiers.Duration{`"5m"`: verifiers.Duration(5 * time.Minute), `300000000000`: verifiers.Duration(5 * time.Minute), `-7`: verifiers.Off, `"off"`: verifiers.Off} {
		var d verifiers.Duration
		if err := json.Unmarshal([]byte(text), &d); err != nil || d != want {
			t.Errorf("%s: %v %v", text, d, err)
		}
	}
}
