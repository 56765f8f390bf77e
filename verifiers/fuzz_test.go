package verifiers

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzFormat reads arbitrary values: what comes out is always part of what went in, and never more than the bounds.
func FuzzFormat(f *testing.F) {
	f.Add("t={timestamp},v1={signature}", "", "t=1,v1=a,v1=b")
	f.Add("{key_id}|{signature}", "&", "a|b&c|d")
	f.Add("v1,{signature}", " ", "v1,a v2,b")
	f.Add("{timestamp},{signature}", "", ",,,")
	f.Fuzz(func(t *testing.T, text, separator, value string) {
		format, err := parseFormat(text, separator)
		if err != nil {
			return
		}
		items, err := format.read(nil, value, true)
		if err == nil && len(items) > maxSignatures {
			t.Errorf("%d items", len(items))
		}
		for _, item := range items {
			if item.value == "" || !strings.Contains(value, item.value) || !strings.Contains(value, item.timestamp) || !strings.Contains(value, item.keyID) {
				t.Errorf("%+v is not of %q", item, value)
			}
		}
	})
}

// FuzzFormatWrite checks that what is written is read back.
func FuzzFormatWrite(f *testing.F) {
	f.Add("t={timestamp},v1={signature}", "abc", "1", "k")
	f.Fuzz(func(t *testing.T, text, signature, timestamp, keyID string) {
		format, err := parseFormat(text, "")
		if err != nil || strings.Trim(signature+timestamp+keyID, "0123456789abcdef") != "" || signature == "" || timestamp == "" || keyID == "" {
			return
		}
		for _, pattern := range format.patterns {
			for _, part := range pattern {
				if strings.ContainsAny(part.literal, "0123456789abcdef{} \t") {
					return // would be taken for part of a value
				}
			}
		}
		items, err := format.read(nil, format.write(signature, timestamp, keyID), false)
		if err != nil || len(items) == 0 {
			return
		}
		if items[0].value != signature {
			t.Errorf("%q: wrote %q, read %q", text, signature, items[0].value)
		}
	})
}

// FuzzTemplate parses arbitrary templates and renders those that parse.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"{timestamp}.{body}", `{"a":{json.b>json}}`, "{?json.a}x{json.a}{/}", "{query.a+param.b>sha256>hex}", `\{\n{`, "{form_sorted}"} {
		f.Add(s, `{"a":"1","b":[1,{"c":2}]}`)
	}
	f.Fuzz(func(t *testing.T, text, body string) {
		tmpl, err := ParseTemplate(text)
		if err != nil {
			return
		}
		a := newAttempt(nil, fuzzRequest(body))
		defer a.release()
		tmpl.string(a)
	})
}

// FuzzExpr parses arbitrary expressions and evaluates those that parse, twice the same.
func FuzzExpr(f *testing.F) {
	for _, s := range []string{"json:a.b", "header:X || json:a json:b", "form:p>json:x", "raw>xml:a/b", "json:#(a>1).b", `json:a\ b`, "raw>jwt_payload>json:x"} {
		f.Add(s, `{"a":{"b":1}}`)
	}
	f.Fuzz(func(t *testing.T, text, body string) {
		e, err := ParseExpr(text)
		if err != nil {
			return
		}
		r := fuzzRequest(body)
		if one, two := e.Eval(r), e.Eval(r); one != two {
			t.Errorf("%q and %q", one, two)
		}
	})
}

// FuzzForm reads arbitrary bodies as forms of both kinds.
func FuzzForm(f *testing.F) {
	f.Add("application/x-www-form-urlencoded", "a=1&b=%20&c")
	f.Add("multipart/form-data; boundary=B", "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B--\r\n")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		size := 0
		form, _ := parseForm(http.Header{"Content-Type": {contentType}}, []byte(body))
		for name, values := range form {
			size += len(name)
			for _, v := range values {
				size += len(v)
			}
		}
		if size > len(body) && !strings.HasPrefix(contentType, "multipart/") {
			t.Errorf("%d bytes out of %d", size, len(body))
		}
	})
}

// FuzzXML looks for a path in arbitrary documents.
func FuzzXML(f *testing.F) {
	f.Add("<a><b>1</b></a>", "a/b")
	f.Add("<a><!-- --><b/>", "a")
	f.Fuzz(func(t *testing.T, doc, path string) {
		if v, ok := xmlValue(doc, path); ok && len(v) > len(doc) {
			t.Errorf("%q is longer than the document", v)
		}
	})
}

// FuzzSignature verifies arbitrary header values: nothing but the right signature is accepted.
func FuzzSignature(f *testing.F) {
	p, err := Compile(&Spec{
		ID: "fuzz", Scheme: SchemeHMAC, Signature: Signature{Names: []string{"X-Sig"}, Format: "t={timestamp},v1={signature}"},
		Signed: []string{"{timestamp}.{body}"}, Timestamp: Timestamp{Past: Off.Ptr()},
	})
	if err != nil {
		f.Fatal(err)
	}
	secret := []Secret{NewSecret([]byte("secret"))}
	f.Add("t=1700000000,v1=00", "{}")
	f.Fuzz(func(t *testing.T, value, body string) {
		r := fuzzRequest(body)
		r.Header.Set("X-Sig", value)
		if _, err := p.Verify(t.Context(), r, secret); err == nil {
			t.Errorf("accepted %q", value)
		} else if Reason(err) == "other" {
			t.Errorf("refused without a reason: %v", err)
		}
	})
}

func fuzzRequest(body string) *Request {
	return &Request{
		Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: "hooks.example.com", Path: "/a/b", RawQuery: "a=1&b=2"},
		Header: http.Header{"X": {"1"}}, Body: []byte(body),
	}
}
