package verifiers

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// TestExampleSections checks that encoded parts of an example hold what was filled in.
func TestExampleSections(t *testing.T) {
	p, err := Compile(&Spec{ID: "acme", Scheme: SchemeNone, Examples: []Example{{
		Type: "a", Body: `{"one":"{{base64}}{"id":"{{id}}","type":"{{type}}"}{{/base64}}","two":"x.{{base64url}}{"at":{{unix}}}{{/base64url}}.y","three":"{{base64}}>>>{{/base64}}","four":"{{base64url}}>>>{{/base64url}}"}`,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Example("a", time.Unix(1700000000, 0))
	if err != nil {
		t.Fatal(err)
	}
	one, err := base64.StdEncoding.DecodeString(gjson.GetBytes(r.Body, "one").String())
	if err != nil || len(gjson.GetBytes(one, "id").String()) != 24 || gjson.GetBytes(one, "type").String() != "a" {
		t.Errorf("%s: %s: %v", r.Body, one, err)
	}
	if got, want := gjson.GetBytes(r.Body, "two").String(), "x."+base64.RawURLEncoding.EncodeToString([]byte(`{"at":1700000000}`))+".y"; got != want {
		t.Errorf("%s, expected %s", got, want)
	}
	if got := gjson.GetBytes(r.Body, "three").String() + gjson.GetBytes(r.Body, "four").String(); got != "Pj4+Pj4-" {
		t.Errorf("%s: alphabets are mixed up", got)
	}
}
