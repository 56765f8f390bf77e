package verifiers_test

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
	boundary = "------------------------3f2b9c41d07e85a6"
)

// TestSignedContentFits signs requests of providers that sign some otherwise than others: an SDK looks at the request and asks for that one kind.
func TestSignedContentFits(t *testing.T) {
	const payload = `payload=%7B%22ref%22%3A%22x%22%7D`
	for name, c := range map[string]struct {
		provider, secret          string
		method, query, kind, body string
		header                    map[string]string
		signed                    string
	}{
		"twilio, form":            {provider: "twilio", kind: formType, body: "A=1&B=2", signed: "{url}{form_sorted}"},
		"twilio, JSON":            {provider: "twilio", query: "bodySHA256=015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862", kind: jsonType, body: `{"a":1}`, signed: "{url}"},
		"twilio, query":           {provider: "twilio", method: http.MethodGet, query: "MessageSid=SM1", signed: "{url}"},
		"hubspot, version 1":      {provider: "hubspot_v1", kind: jsonType, body: "[]", header: map[string]string{"X-HubSpot-Signature-Version": "v1"}, signed: "{secret}{body}"},
		"hubspot, version 2":      {provider: "hubspot_v1", kind: jsonType, body: "[]", header: map[string]string{"X-HubSpot-Signature-Version": "v2"}, signed: "{secret}{method}{url}{body}"},
		"hubspot, no version":     {provider: "hubspot_v1", kind: jsonType, body: "[]", signed: "{secret}{body}"},
		"gitea, JSON":             {provider: "gitea", kind: jsonType, body: `{"ref":"x"}`, signed: "{body}"},
		"gitea, form":             {provider: "gitea", kind: formType, body: payload, signed: "{form.payload}"},
		"gitea, a form in JSON":   {provider: "gitea", kind: jsonType, body: `{"ref":"&` + payload + `"}`, signed: "{body}"},
		"cryptapi, GET":           {provider: "cryptapi", secret: privatePEM(t, mustRSA(t)), method: http.MethodGet, query: "uuid=1", signed: "{url}"},
		"cryptapi, POST":          {provider: "cryptapi", secret: privatePEM(t, mustRSA(t)), kind: jsonType, body: `{"uuid":1}`, signed: "{body}"},
		"dropbox sign, JSON":      {provider: "dropbox_sign", kind: jsonType, body: hashedEvent, signed: "{json.event.event_time}{json.event.event_type}"},
		"dropbox sign, form":      {provider: "dropbox_sign", kind: formType, body: "json=" + url.QueryEscape(hashedEvent), signed: "{form.json>json:event.event_time}{form.json>json:event.event_type}"},
		"dropbox sign, multipart": {provider: "dropbox_sign", kind: "multipart/form-data; boundary=" + boundary, body: multipartForm(hashedEvent), signed: "{form.json>json:event.event_time}{form.json>json:event.event_type}"},
	} {
		t.Run(name, func(t *testing.T) {
			spec, err := catalogue.Lookup(c.provider)
			if err != nil {
				t.Fatal(err)
			}
			only := *spec
			only.Signed, only.URLVariants = []string{c.signed}, nil
			r := &verifiers.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: "app.example", Path: "/hooks", RawQuery: c.query}, Header: http.Header{}, Body: []byte(c.body), At: time.Unix(1700000000, 0)}
			if c.method != "" {
				r.Method = c.method
			}
			if c.kind != "" {
				r.Header.Set("Content-Type", c.kind)
			}
			for name, v := range c.header {
				r.Header.Set(name, v)
			}
			secret := verifiers.NewSecret([]byte("the application's"))
			if c.secret != "" {
				secret = verifiers.NewSecret([]byte(c.secret))
			}
			if err := compiled(t, c.provider).Sign(r, secret, "", r.At); err != nil {
				t.Fatal(err)
			}
			p, err := verifiers.Compile(&only)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Verify(t.Context(), r, []verifiers.Secret{secret}); err != nil {
				t.Errorf("it is not %s that is signed: %v", c.signed, err)
			}
		})
	}
}

const hashedEvent = `{"event":{"event_time":"1700000000","event_type":"callback_test","event_hash":"of another key"}}`

// multipartForm is a body with a file in it, and a field before it that looks like the one that is signed.
func multipartForm(event string) string {
	return strings.ReplaceAll("--B\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nname=\"json\"\r\n\r\n{}\r\n"+
		"--B\r\nContent-Disposition: form-data; name=\"json\"\r\nContent-Type: text/plain\r\n\r\n"+event+"\r\n"+
		"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: binary\r\n\r\n%PDF\r\n\x00\xff\r\n"+
		"--B--\r\n", "--B", "--"+boundary)
}

// TestSignMultipart signs inside of a multipart form. Nothing else of it may change.
func TestSignMultipart(t *testing.T) {
	kind := "multipart/form-data; boundary=" + boundary
	r := &verifiers.Request{Method: http.MethodPost, URL: new(url.URL), Header: http.Header{"Content-Type": {kind}}, Body: []byte(multipartForm(hashedEvent))}
	p, secret := compiled(t, "dropbox_sign"), verifiers.NewSecret([]byte("the application's"))
	if err := p.Sign(r, secret, "", r.At); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Verify(t.Context(), r, []verifiers.Secret{secret}); err != nil {
		t.Errorf("does not verify: %v", err)
	}
	before, after := parts(t, multipartForm(hashedEvent)), parts(t, string(r.Body))
	if len(after) != 3 || after[0] != before[0] || after[1] == before[1] || after[2] != before[2] {
		t.Errorf("%q became %q", before, after)
	}
	r.Body = []byte("--" + boundary + "\r\ncut off")
	if err := p.Sign(r, secret, "", r.At); !errors.Is(err, verifiers.ErrCannotSign) {
		t.Errorf("signed a form that cannot be read: %v", err)
	}
	example, err := p.Example("", r.At)
	if err != nil || !strings.HasPrefix(example.Header.Get("Content-Type"), "multipart/form-data") {
		t.Errorf("the example is of another kind than what the provider sends: %v %v", example, err)
	}
}

// TestSignMultipartField signs where the signature is a field of its own, there already or not.
func TestSignMultipartField(t *testing.T) {
	p, err := verifiers.Compile(&verifiers.Spec{ID: "acme", Scheme: verifiers.SchemeHMAC, Signature: verifiers.Signature{In: "form", Names: []string{"sig"}}, Signed: []string{"{form.json}"}})
	if err != nil {
		t.Fatal(err)
	}
	kind := "multipart/form-data; boundary=" + boundary
	r := &verifiers.Request{Method: http.MethodPost, URL: new(url.URL), Header: http.Header{"Content-Type": {kind}}, Body: []byte(multipartForm("signed"))}
	for _, text := range []string{"first", "second"} {
		secret := verifiers.NewSecret([]byte(text))
		if err := p.Sign(r, secret, "", r.At); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Verify(t.Context(), r, []verifiers.Secret{secret}); err != nil {
			t.Errorf("%s secret: %v", text, err)
		}
		if got := parts(t, string(r.Body)); len(got) != 4 {
			t.Errorf("%s secret: %q", text, got)
		}
	}
}

// parts are the parts of a multipart form, each with its headers.
func parts(t *testing.T, body string) (out []string) {
	t.Helper()
	_, params, err := mime.ParseMediaType("multipart/form-data; boundary=" + boundary)
	if err != nil {
		t.Fatal(err)
	}
	in := multipart.NewReader(strings.NewReader(body), params["boundary"])
	for {
		p, err := in.NextRawPart()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := http.Header(p.Header).Write(&b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(&b, p); err != nil {
			t.Fatal(err)
		}
		out = append(out, b.String())
	}
}

// TestTimeInStep signs anew where a header must say the same time as the body.
func TestTimeInStep(t *testing.T) {
	p, at := compiled(t, "didit"), time.Unix(1800000000, 0)
	r := &verifiers.Request{
		Method: http.MethodPost, URL: new(url.URL), Body: []byte(`{"session_id":"s1","timestamp":1700000000}`), At: at,
		Header: http.Header{"X-Timestamp": {"1700000000"}, "X-Signature": {"of another key"}, "X-Signature-V2": {"of another key"}},
	}
	secret := verifiers.NewSecret([]byte("the application's"))
	if err := p.Sign(r, secret, "", at); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Verify(t.Context(), r, []verifiers.Secret{secret}); err != nil || r.Header.Get("X-Signature-V2") != "" {
		t.Errorf("%v, with %v", err, r.Header)
	}
}
