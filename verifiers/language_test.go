package verifiers_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// sample is a request that has something in every place.
func sample(body string) *verifiers.Request {
	u, err := url.Parse("https://hooks.example.com:8443/in/box?id=q1&hub.mode=subscribe&b=2&a=1")
	if err != nil {
		panic(err)
	}
	return &verifiers.Request{
		Method: http.MethodPost, URL: u, Body: []byte(body), ClientIP: "192.0.2.1", Source: "billing",
		Header: http.Header{"X-Id": {"h1", "h2"}, "Content-Type": {"application/json"}},
	}
}

const sampleBody = `{"id":"j1","n":12345678901234567890,"f":1.10,"t":true,"nil":null,"o":{"a":[1,2]},"a.b":"dot","uni":"\u00e9","wrap":"eyJpbm5lciI6eyJpZCI6Ing5In19"}`

func TestExprValues(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{"header:X-Id", "h1"},
		{"header:x-id", "h1"},
		{"header:X-None", ""},
		{"json:id", "j1"},
		{"json:n", "12345678901234567890"},
		{"json:f", "1.10"},
		{"json:t", "true"},
		{"json:nil", ""},
		{"json:o", `{"a":[1,2]}`},
		{"json:o.a.1", "2"},
		{`json:a\.b`, "dot"},
		{"json:uni", "é"},
		{"json:wrap>from_base64>json:inner.id", "x9"},
		{"json:id>from_hex", ""},
		{"json:none>sha256>hex", ""},
		{"query:id", "q1"},
		{"query:hub.mode", "subscribe"},
		{"query", "id=q1&hub.mode=subscribe&b=2&a=1"},
		{"query_sorted", "a=1&b=2&hub.mode=subscribe&id=q1"},
		{"path", "/in/box"},
		{"last_path", "box"},
		{"host", "hooks.example.com:8443"},
		{"method", "POST"},
		{"source", "billing"},
		{"ip", "192.0.2.1"},
		{"literal:x", "x"},
		{"json:none || header:X-Id", "h1"},
		{"json:none || json:nil || literal:fallback", "fallback"},
		{"json:id query:id", "j1|q1"},
		{"json:id json:none", "j1|"},
		{"json:none query:none", ""},
		{"json:none literal:x", ""},
		{"json:none query:none || json:id json:t", "j1|true"},
		{"source json:id", "billing|j1"},
		{"source json:none", ""},
		{"json:id>upper", "J1"},
		{"json:id>sha256>hex", "d4d5be3b6e7d2c8a6f1b9f0e"},
	} {
		e, err := verifiers.ParseExpr(c.expr)
		if err != nil {
			t.Errorf("%s: %v", c.expr, err)
			continue
		}
		got := e.Eval(sample(sampleBody))
		if c.expr == "json:id>sha256>hex" {
			if len(got) != 64 {
				t.Errorf("%s: %q is not a hash in hex", c.expr, got)
			}
			continue
		}
		if got != c.want {
			t.Errorf("%s: %q, expected %q", c.expr, got, c.want)
		}
	}
}

// TestExprBody checks that body is the hash that sha256sum prints.
func TestExprBody(t *testing.T) {
	e, err := verifiers.ParseExpr("body")
	if err != nil {
		t.Fatal(err)
	}
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got := e.Eval(sample("abc")); got != abc {
		t.Errorf("%s", got)
	}
}

// TestCompositeIsUnambiguous checks that different values never make the same composite.
func TestCompositeIsUnambiguous(t *testing.T) {
	e, err := verifiers.ParseExpr("json:a json:b")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, body := range []string{
		`{"a":"x|y","b":"z"}`, `{"a":"x","b":"y|z"}`, `{"a":"x\\","b":"|y|z"}`, `{"a":"x\\|y","b":"z"}`, `{"a":"x","b":"y"}`, `{"a":"x|","b":"y"}`,
	} {
		v := e.Eval(sample(body))
		if other, ok := seen[v]; ok {
			t.Errorf("%s and %s are both %q", body, other, v)
		}
		seen[v] = body
	}
}

func TestExprForms(t *testing.T) {
	e, err := verifiers.ParseExpr("form:payload>json:event.type")
	if err != nil {
		t.Fatal(err)
	}
	r := sample("payload=%7B%22event%22%3A%7B%22type%22%3A%22m%22%7D%7D&x=1")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if got := e.Eval(r); got != "m" {
		t.Errorf("urlencoded: %q", got)
	}
	multi := "--B\r\nContent-Disposition: form-data; name=\"payload\"\r\n\r\n{\"event\":{\"type\":\"m\"}}\r\n--B--\r\n"
	r = sample(multi)
	r.Header.Set("Content-Type", `multipart/form-data; boundary=B`)
	if got := e.Eval(r); got != "m" {
		t.Errorf("multipart: %q", got)
	}
}

func TestXML(t *testing.T) {
	const doc = `<?xml version="1.0"?><n:notification xmlns:n="x"><a><kind>wrong</kind></a><kind>check &amp; more</kind><kind>second</kind></n:notification>`
	for expr, want := range map[string]string{
		"raw>xml:notification/kind": "check & more", "raw>xml:notification/a/kind": "wrong", "raw>xml:kind": "", "raw>xml:notification/none": "",
		"raw>xml:notification": "wrong" + "check & more" + "second",
	} {
		e, err := verifiers.ParseExpr(expr)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Eval(sample(doc)); got != want {
			t.Errorf("%s: %q, expected %q", expr, got, want)
		}
	}
	e, err := verifiers.ParseExpr("raw>xml:a/b")
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range []string{"", "<a>", "<a><b>", "not xml", strings.Repeat("<a>", 100000), "<a><b>" + strings.Repeat("<c>", 63) + "deep" + strings.Repeat("</c>", 63) + "</b></a>", `<!DOCTYPE a [<!ENTITY x "y">]><a><b>&x;</b></a>`} {
		if got := e.Eval(sample(doc)); got != "" {
			t.Errorf("%.40s: %q", doc, got)
		}
	}
}

func TestExprErrors(t *testing.T) {
	for expr, want := range map[string]string{
		"": "expected", "  ": "expected", "nothing": "expected", "header:": "a name", "cookie:x": "unknown place", "json:a>rot13": "unknown function",
		"|| json:a": "in front of", "json:a ||": "expected", "json:a>json:": "unknown function",
	} {
		_, err := verifiers.ParseExpr(expr)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, expected %q in it", expr, err, want)
		}
	}
}

func TestTemplateErrors(t *testing.T) {
	for template, want := range map[string]string{
		"{body": "closing brace", "{nobody}": "expected", "{?json.a}x": "no end", "x{/}": "without a section", "{?json.a}{?json.b}{/}{/}": "nest",
		"{body>rot13}": "unknown function", "{json.}": "a name",
	} {
		_, err := verifiers.ParseTemplate(template)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, expected %q in it", template, err, want)
		}
	}
	for _, template := range []string{"", "{", "}", `{"a":1}`, "{{", "{1}", `\{body}`, "{ body }", "a\\"} {
		if _, err := verifiers.ParseTemplate(template); err != nil {
			t.Errorf("%q is literal text: %v", template, err)
		}
	}
}
