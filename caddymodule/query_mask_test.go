package caddymodule

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// nested is JSON of that many arrays around some text.
func nested(levels int, inside string) string {
	return strings.Repeat("[", levels) + inside + strings.Repeat("]", levels)
}

func TestMaskPayload(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		body, contentType string
		paths             []string
		want              string
		hit               bool
	}{
		"field":               {`{"a": 1.50, "b":"x"}`, "", []string{"b"}, `{"a":1.50,"b":"***"}`, true},
		"deep":                {`{"a":{"b":{"c":1,"d":2}}}`, "", []string{"a.b.c"}, `{"a":{"b":{"c":"***","d":2}}}`, true},
		"whole object":        {`{"a":{"b":1}}`, "", []string{"a"}, `{"a":"***"}`, true},
		"every element":       {`{"a":[{"b":1},{"b":2}]}`, "", []string{"a.#.b"}, `{"a":[{"b":"***"},{"b":"***"}]}`, true},
		"one element":         {`[1,2,3]`, "", []string{"1"}, `[1,"***",3]`, true},
		"name through a list": {`{"a":[{"b":1},[{"b":2}]]}`, "", []string{"a.b"}, `{"a":[{"b":"***"},[{"b":"***"}]]}`, true},
		"every field":         {`{"a":{"x":{"n":1},"y":{"n":2}}}`, "", []string{"a.*.n"}, `{"a":{"x":{"n":"***"},"y":{"n":"***"}}}`, true},
		"name with a dot":     {`{"a.b":1}`, "", []string{`a\.b`}, `{"a.b":"***"}`, true},
		"escaped name":        {`{"\u0061":1}`, "", []string{"a"}, `{"\u0061":"***"}`, true},
		"same name twice":     {`{"a":1,"a":2}`, "", []string{"a"}, `{"a":"***","a":"***"}`, true},
		"two paths":           {`{"a":{"b":1,"c":2,"d":3}}`, "", []string{"a.b", "a.c"}, `{"a":{"b":"***","c":"***","d":3}}`, true},
		"nothing there":       {`{ "a" : 1 }`, "", []string{"b.c"}, `{ "a" : 1 }`, false},
		"scalar in the way":   {`{"a":1}`, "", []string{"a.b"}, `{"a":1}`, false},
		"no paths":            {`not json`, "", nil, `not json`, false},
		"empty body":          {``, "", []string{"a"}, ``, false},
		"as deep as it looks": {nested(31, `{"a":1}`), "", []string{"a"}, nested(31, `{"a":"***"}`), true},
		"too deep to look":    {nested(32, `{"b":1},2`), "", []string{"a"}, nested(32, `"***",2`), true},
		"form":                {"a=1&b=2&%61=3", form, []string{"a"}, "a=***&b=2&%61=***", true},
		"every form field":    {"a=1&b=2", form, []string{"#"}, "a=***&b=***", true},
		"name of two words":   {"a.b=1&a%5Bc%5D=2&d=3", form, []string{"a.b", "a[c]"}, "a.b=***&a%5Bc%5D=***&d=3", true},
	} {
		got, hit, err := maskPayload([]byte(c.body), c.contentType, c.paths)
		if err != nil || string(got) != c.want || hit != c.hit {
			t.Errorf("%s: %s %v %v, want %s", name, got, hit, err, c.want)
		}
	}
	for name, c := range map[string][2]string{"xml": {"<a>1</a>", "text/xml"}, "broken JSON": {`{"a":1`, "application/json"}, "broken form": {"%zz=1", form}, "too deep": {strings.Repeat("[", 10_000_000), "application/json"}} {
		if got, _, err := maskPayload([]byte(c[0]), c[1], []string{"a"}); !errors.Is(err, errCannotMask) || got != nil {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
}

// TestMaskJSONInForms looks into fields of forms whose value is JSON, as GitHub and Slack send them.
func TestMaskJSONInForms(t *testing.T) {
	const payload = `{"sender":{"login":"octo cat","email":"a+b@example.com"},"list":[{"n":1},{"n":2}]}`
	for name, c := range map[string]struct {
		payload string
		paths   []string
		want    string // of the payload; the other field, b=100, stays
		hit     bool
	}{
		"by the field's name":  {payload, []string{"payload.sender.email"}, `{"sender":{"login":"octo cat","email":"***"},"list":[{"n":1},{"n":2}]}`, true},
		"without it":           {payload, []string{"sender.email"}, `{"sender":{"login":"octo cat","email":"***"},"list":[{"n":1},{"n":2}]}`, true},
		"any field":            {payload, []string{"*.list.#.n"}, `{"sender":{"login":"octo cat","email":"a+b@example.com"},"list":[{"n":"***"},{"n":"***"}]}`, true},
		"through a list":       {payload, []string{"payload.list.n"}, `{"sender":{"login":"octo cat","email":"a+b@example.com"},"list":[{"n":"***"},{"n":"***"}]}`, true},
		"all of it":            {payload, []string{"payload"}, "***", true},
		"nothing there":        {payload, []string{"payload.email", "other.sender"}, payload, false},
		"blanks around":        {" [{\"a\":1}]\n", []string{"a"}, `[{"a":"***"}]`, true},
		"no JSON":              {"text {", []string{"payload.a"}, "text {", false},
		"broken JSON":          {`{"a":1`, []string{"z"}, "***", true},
		"byte order mark":      {"\ufeff" + `{"a":1}`, []string{"a"}, "***", true},
		"nested too deep":      {nested(600, "1"), []string{"z"}, "***", true},
		"nested deep":          {nested(33, `"secret"`), []string{"z"}, nested(32, `"***"`), true},
		"a name with a dot":    {`{"a.b":1}`, []string{`payload.a\.b`}, `{"a.b":"***"}`, true},
		"and a path by itself": {`{"a":{"b":1}}`, []string{"a.b"}, `{"a":{"b":"***"}}`, true},
	} {
		body := url.Values{"payload": {c.payload}}.Encode() + "&b=100"
		got, hit, err := maskPayload([]byte(body), "application/x-www-form-urlencoded; charset=utf-8", c.paths)
		if err != nil || hit != c.hit || !hit && string(got) != body {
			t.Errorf("%s: %s %v %v", name, got, hit, err)
			continue
		}
		values, err := url.ParseQuery(string(got))
		if err != nil || values.Get("payload") != c.want || values.Get("b") != "100" {
			t.Errorf("%s: %v %v, want %s", name, values, err, c.want)
		}
	}
	if got, hit, err := maskPayload([]byte("payload=%7B%22a%22:1%zz&b=2"), "application/x-www-form-urlencoded", []string{"a"}); string(got) != "payload=***&b=2" || !hit || err != nil {
		t.Errorf("broken escape: %s %v %v", got, hit, err)
	}
}

func TestPrivacyLearnsFromProvider(t *testing.T) {
	p := new(privacy)
	p.learn(&verifiers.Spec{
		Scheme: verifiers.SchemeToken, Signature: verifiers.Signature{In: "json", Names: []string{"auth.code", `list.#(kind=="x").code`}},
		Checks: []verifiers.Check{
			{Expr: "header:X-Room", Equals: "secret"}, {Expr: "query:who", Equals: "param:pin"}, {Expr: "header:X-Topic", Equals: "literal:orders"},
			{Expr: "json:account", Equals: "param:account"}, {Expr: "json:head.pin || json:pin>lower", Equals: "param:pin"},
		},
		Params: []verifiers.Param{{Name: "pin", Secret: true}, {Name: "account"}},
	})
	p.addHeaders([]string{"X-Sig-{n}"})
	shown := p.header(http.Header{
		"X-Room": {"a"}, "X-Topic": {"orders"}, "X-Sig-3": {"b"}, "Authorization": {"c"}, "X-Api-Key": {"d"}, "X-Hub-Signature-256": {"e"}, "User-Agent": {"f"},
	})
	for name, want := range map[string]string{
		"X-Room": maskText, "X-Topic": "orders", "X-Sig-3": maskText, "Authorization": maskText, "X-Api-Key": maskText, "X-Hub-Signature-256": maskText, "User-Agent": "f",
	} {
		if !slices.Equal(shown[name], []string{want}) {
			t.Errorf("%s: %v, want %s", name, shown[name], want)
		}
	}
	if got, want := p.address("https://u:p@h/x?who=1&b=2&access_token=3&flag", false), "https://h/x?who=***&b=2&access_token=***&flag"; got != want {
		t.Errorf("address %s, want %s", got, want)
	}
	if !slices.Equal(p.Mask, []string{"auth.code", "list", "head.pin", "pin"}) {
		t.Errorf("mask: %v", p.Mask)
	}
	p.Path = true
	if got, want := p.address("https://h/in/secret", false), "https://h/in/***"; got != want {
		t.Errorf("address %s, want %s", got, want)
	}
}
