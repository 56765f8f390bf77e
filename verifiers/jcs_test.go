package verifiers

import (
	"strings"
	"testing"
)

// TestCanonicalJSON checks the examples of RFC 8785 and what must not be made canonical.
func TestCanonicalJSON(t *testing.T) {
	for in, want := range map[string]string{
		// section 3.2.3
		"{\n  \"numbers\": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],\n  \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\n  \"literals\": [null, true, false]\n}": `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
		`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`:    "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"\u00f6\":\"Latin Small Letter O With Diaeresis\",\"\u20ac\":\"Euro Sign\",\"\U0001F600\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}",
		// appendix B
		"[0,-0,5e-324,-5e-324,1.7976931348623157e308,9007199254740992,295147905179352830000,9.999999999999997e22,1e23,1.0000000000000001e23,999999999999999700000,999999999999999900000,1e21,9.999999999999997e-7,0.000001,333333333.33333325]": "[0,0,5e-324,-5e-324,1.7976931348623157e+308,9007199254740992,295147905179352830000,9.999999999999997e+22,1e+23,1.0000000000000001e+23,999999999999999700000,999999999999999900000,1e+21,9.999999999999997e-7,0.000001,333333333.33333325]",
		" [ ] ": "[]", "{ }": "{}", "\"\u2028<&>\\b\\f\"": "\"\u2028<&>\\b\\f\"",
	} {
		if got, ok := canonicalJSON(in); !ok || got != want {
			t.Errorf("%s\n is %s\nnot %s", in, got, want)
		}
	}
	for _, in := range []string{
		"", "{", "[1", `{"a":1,"a":2}`, `{"a":{"b":1,"\u0062":1}}`, `{"a":1}{"b":2}`, `{"a":1} x`, "[1e999]", `{"a"}`, strings.Repeat("[", 200) + strings.Repeat("]", 200),
	} {
		if got, ok := canonicalJSON(in); ok {
			t.Errorf("%.40s is canonical: %s", in, got)
		}
	}
}
