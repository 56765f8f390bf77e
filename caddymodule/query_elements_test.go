package caddymodule

import (
	"net/url"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/verifiers"
)

func TestElementsPath(t *testing.T) {
	for _, test := range []struct{ from, elements, want string }{
		{"", "value", "value #"}, {"", "data.events", "data events #"}, {"", "@this", "#"}, {"", "[@this]|@flatten", "#"}, {"", "a|b", "a b #"}, {"", `a\.b`, "a.b #"},
		{"", "a.#.b|@flatten", "a # b #"}, {"", "..", "#"}, {"", `a.#(b=="c.d")#`, "a @ #"}, {"", "{a,b}", "@ #"}, {"", "a*", "@ #"},
		{"form:events", "@this", "events #"}, {"form:events", "a.b", "events a b #"}, {"form:events>from_base64", "a", "events @"}, {"json:a.b>from_base64", "c", "a b @"}, {"raw>from_base64", "c", "@"}, {"json:a json:b", "c", "@"}, {"no expression", "c", "@"},
	} {
		if got := strings.Join(elementsPath(&verifiers.Batch{From: test.from, Elements: test.elements}), " "); got != test.want {
			t.Errorf("%s %s: %s, want %s", test.from, test.elements, got, test.want)
		}
	}
}

// TestMasksOfElements reads masks as those of requests and of elements.
func TestMasksOfElements(t *testing.T) {
	for _, test := range []struct{ elements, mask, request, element string }{ // what each adds to the mask itself
		{"value", "value.#.secret", "value.#.value.#.secret", "secret"},
		{"value", "value.secret", "value.#.value.secret", "secret"},
		{"value", "value.3.secret", "value.#.value.3.secret", "3.secret secret"},
		{"value", "*.*.secret", "value.#.*.*.secret", "secret"},
		{"value", `value.#.a\.b.c`, `value.#.value.#.a\.b.c`, `a\.b.c`},
		{"value", "secret", "value.#.secret", ""},
		{"value", "value", "value.#.value", "all"},
		{"value", "value.#", "value.#.value.#", "all"},
		{"value", "*", "value.#.*", "all"},
		{"a.0.b", "a.b.#.c", "a.0.b.#.a.b.#.c", "c"},
		{"@this", "#.secret", "#.#.secret", "secret"},
		{"@this", "secret", "#.secret", "secret"},
		{`a.#(b==1)#`, "a.#.secret", "a", "all"},
		{`a.#(b==1)#`, "secret", "a", ""},
		{"{a,b}", "secret", "*", "all"},
	} {
		p := &privacy{privacyRules: privacyRules{Mask: []string{test.mask}, places: places{Elements: [][]string{elementsPath(&verifiers.Batch{Elements: test.elements})}}}}
		request := strings.Join(p.requestMasks()[1:], " ")
		masks, all := p.eventMasks()
		element := strings.Join(masks[2:], " ")
		if all {
			element += "all"
		}
		if request != test.request || element != test.element {
			t.Errorf("%s of %s: request %s, element %s", test.mask, test.elements, request, element)
		}
	}
}

// TestPayloadsOfBatches shows what was stored as an element and as a request, whatever the source does with batches now.
func TestPayloadsOfBatches(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	value, mandrill, list := &verifiers.Batch{Elements: "value"}, &verifiers.Batch{From: "form:events", Elements: "@this"}, &verifiers.Batch{Elements: "@this"}
	for name, c := range map[string]struct {
		batch             *verifiers.Batch
		mask              string
		whole             bool
		body, contentType string
		event, request    string
	}{
		"element, path of a request":   {value, "value.#.a", false, `{"a":1,"b":2}`, "", `{"a":"***","b":2}`, `{"a":1,"b":2}`},
		"element, path of an element":  {value, "a", false, `{"a":1,"b":2}`, "", `{"a":"***","b":2}`, `{"a":"***","b":2}`},
		"request, path of a request":   {value, "value.#.a", true, `{"value":[{"a":1,"b":2}]}`, "", `{"value":[{"a":"***","b":2}]}`, `{"value":[{"a":"***","b":2}]}`},
		"request, path of an element":  {value, "a", true, `{"value":[{"a":1,"b":2}]}`, "", `{"value":[{"a":"***","b":2}]}`, `{"value":[{"a":"***","b":2}]}`},
		"element, all of them":         {value, "value", false, `{"a":1}`, "", `"***"`, `{"a":1}`},
		"element, split no longer":     {value, "value", true, `{"a":1}`, "", `"***"`, `{"a":1}`},
		"request, all elements":        {value, "value", true, `{"value":[1],"b":2}`, "", `{"value":"***","b":2}`, `{"value":"***","b":2}`},
		"request, split by now":        {value, "value", false, `{"value":[1],"b":2}`, "", `"***"`, `{"value":"***","b":2}`},
		"element that is no object":    {value, "value.#", false, `"text"`, "", `"***"`, `"text"`},
		"element of a list":            {list, "#.a", false, `{"a":1}`, "", `{"a":"***"}`, `{"a":1}`},
		"list":                         {list, "a", true, ` [{"a":1}]`, "", `[{"a":"***"}]`, `[{"a":"***"}]`},
		"list, all of it":              {list, "#", true, ` [{"a":1}]`, "", `["***"]`, `["***"]`},
		"element of a field":           {mandrill, "events", false, `{"a":1}`, "", `"***"`, `{"a":1}`},
		"element of a field, by path":  {mandrill, "a", false, `{"a":1,"b":2}`, "", `{"a":"***","b":2}`, `{"a":"***","b":2}`},
		"field, path of an element":    {mandrill, "a", true, `events=[{"a":1}]&b=2`, form, `events=[{"a":"***"}]&b=2`, `events=[{"a":"***"}]&b=2`},
		"field, by its name":           {mandrill, "events.#.a", true, `events=[{"a":1}]&b=2`, form, `events=[{"a":"***"}]&b=2`, `events=[{"a":"***"}]&b=2`},
		"element, by the field's name": {mandrill, "events.a", false, `{"a":1,"b":2}`, "", `{"a":"***","b":2}`, `{"a":1,"b":2}`},
		"field, all of it":             {mandrill, "events", true, `events=[{"a":1}]&b=2`, form, `events=***&b=2`, `events=***&b=2`},
		"nothing to mask":              {value, "value.#.c", false, `{"a":1}`, "", `{"a":1}`, `{"a":1}`},
		"empty":                        {value, "value", false, ``, "", ``, ``},
		"provider without batches":     {nil, "value", false, `{"a":1}`, "", `{"a":1}`, `{"a":1}`},
		"everything that is not names": {&verifiers.Batch{Elements: "{a,b}"}, "c", false, `{"a":1}`, "", `"***"`, `{"a":"***"}`},
	} {
		p := &privacy{privacyRules: privacyRules{Mask: []string{c.mask}}, whole: c.whole}
		if c.batch != nil {
			p.Elements = [][]string{elementsPath(c.batch)}
		}
		event, _, err := p.payload([]byte(c.body), c.contentType)
		request, _, err2 := p.request([]byte(c.body), c.contentType)
		if err != nil || err2 != nil || unescapedForm(t, event, c.contentType) != c.event || unescapedForm(t, request, c.contentType) != c.request {
			t.Errorf("%s: event %s, request %s: %v %v", name, event, request, err, err2)
		}
	}
}

// TestFieldsOfBatches: fields are hidden where their own path is masked, in whichever way, and not where only a neighbour's is.
func TestFieldsOfBatches(t *testing.T) {
	for _, test := range []struct {
		mask, path string
		of         reading
		want       bool
	}{
		{"value.#.secret", "value.0.kind", ofRequest, false}, {"value.#.secret", "value.0.secret", ofRequest, true}, {"value.#.secret", "value.#.secret", ofRequest, true},
		{"value.secret", "value.#.kind", ofRequest, false}, {"value.0.secret", "value.1.kind", ofRequest, false}, {"value.#.secret", "value", ofRequest, true},
		{"value.#.secret", "kind", ofElement, false}, {"value.#.secret", "secret", ofElement, true}, {"value.secret", "secret", ofElement, true}, {"value.secret", "kind", ofElement, false},
		{"value", "kind", ofElement, true}, {"*", "kind", ofElement, true}, {"value.7.secret", "secret", ofElement, true},
		{"secret", "value.0.secret", ofRequest, true}, {"secret", "value.0.kind", ofRequest, false}, {"secret", "secret", ofElement, true}, {"secret", "kind", ofElement, false},
	} {
		p := &privacy{privacyRules: privacyRules{Mask: []string{test.mask}, places: places{Elements: [][]string{{"value", "#"}}}}}
		if got := p.hidesPath(splitPath(test.path), test.of); got != test.want {
			t.Errorf("mask %s, path %s of an element: %v: %v", test.mask, test.path, test.of, got)
		}
	}
}

// unescapedForm writes a form for people, anything else as it is.
func unescapedForm(t *testing.T, body []byte, contentType string) string {
	t.Helper()
	if contentType == "" {
		return string(body)
	}
	plain, err := url.QueryUnescape(string(body))
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
