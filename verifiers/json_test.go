package verifiers_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// nested is JSON of that many levels around some text.
func nested(levels int, inside string) string {
	return strings.Repeat("[", levels) + inside + strings.Repeat("]", levels)
}

func TestValidJSON(t *testing.T) {
	const most = verifiers.MaxJSONDepth
	for name, c := range map[string]struct {
		text string
		want bool
	}{
		"as deep as may be":            {nested(most, ""), true},
		"one deeper":                   {nested(most+1, ""), false},
		"objects":                      {strings.Repeat(`{"a":`, most) + "1" + strings.Repeat("}", most), true},
		"objects, one deeper":          {strings.Repeat(`{"a":`, most+1) + "1" + strings.Repeat("}", most+1), false},
		"many side by side":            {"[" + strings.Repeat(`{"a":[]},`, 3*most) + "1]", true},
		"brackets in a text":           {`["` + strings.Repeat("[", 3*most) + `\"` + strings.Repeat("{", 3*most) + `\\"]`, true},
		"brackets behind a text":       {`["\\",` + nested(most, "") + "]", false},
		"deep enough to end a program": {strings.Repeat("[", 10_000_000), false},
		"a text without an end":        {nested(most, `"`), false},
		"other brackets at the end":    {strings.Repeat("[", 2*most) + strings.Repeat("}", 2*most), false},
		"no JSON":                      {"[1", false},
		"nothing":                      {"", false},
	} {
		if got := verifiers.ValidJSON([]byte(c.text)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestIndentJSON(t *testing.T) {
	if got, ok := verifiers.IndentJSON([]byte(`{"a":[1,{"b":"[,"}]}`), "  ", 64); !ok || string(got) != "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"[,\"\n    }\n  ]\n}" {
		t.Errorf("%s", got)
	}
	for name, text := range map[string]string{
		"too large":     nested(verifiers.MaxJSONDepth, strings.Repeat("1,", 1000)+"1"), // 3 KiB that become more than 1 MiB
		"too deep":      nested(verifiers.MaxJSONDepth+1, ""),
		"no JSON":       "{",
		"nothing there": "",
	} {
		if got, ok := verifiers.IndentJSON([]byte(text), "  ", 1<<20); ok || got != nil {
			t.Errorf("%s: %d bytes", name, len(got))
		}
	}
}

// TestDeepJSON shows that a body cannot be nested so deeply that reading it ends the program.
func TestDeepJSON(t *testing.T) {
	r := sample(strings.Repeat("[", 10_000_000))
	for _, text := range []string{"json:@pretty", "json:@fromstr", "raw>json:@valid", "json:a.b", "json:0.0.a", "json:@keys.0", "raw>jcs"} {
		e, err := verifiers.ParseExpr(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Eval(r); got != "" {
			t.Errorf("%s: %d bytes", text, len(got))
		}
	}
	p := compiled(t, "stripe")
	if _, err := p.Identify(r, true); !errors.Is(err, verifiers.ErrUnreadable) {
		t.Errorf("identified: %v", err)
	}
	p.Diagnose(context.Background(), r, []verifiers.Secret{verifiers.NewSecret([]byte("s"))}, nil)
	r.Body = []byte(nested(9999, strings.Repeat("1,", 100_000)+"1")) // which would be indented to gigabytes
	p.Diagnose(context.Background(), r, []verifiers.Secret{verifiers.NewSecret([]byte("s"))}, nil)
}
