package caddymodule

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

func TestConditions(t *testing.T) {
	const most = verifiers.MaxJSONDepth
	for expression, c := range map[string]struct {
		body          string
		want, payload bool
	}{
		`event.type == "a"`:                                  {body: `{}`, want: true},
		`event["type"] == "a" && has(event.subject)`:         {body: `{}`, want: true},
		`event.headers["x-shop"] == "1, 2"`:                  {body: `{}`, want: true},
		`"x-shop" in event.headers && event.headers.b == ""`: {body: `{}`},
		`event.data.n == 3 && event.data.n < 3.5`:            {body: `{"n":3}`, want: true, payload: true},
		`event.data.n > 1e300`:                               {body: `{"n":1e999}`, want: true, payload: true},
		`event.data.n == 9007199254740993.0`:                 {body: `{"n":9007199254740992}`, want: true, payload: true},
		`event.data.a.exists(x, x.b == "y")`:                 {body: `{"a":[{"b":"x"},{"b":"y"}]}`, want: true, payload: true},
		`event.data == null`:                                 {body: `null`, want: true, payload: true},
		`event.data == "text"`:                               {body: `text`, want: true, payload: true},
		`event.data.absent == 1`:                             {body: `{}`, payload: true},
		`size(event) == 9`:                                   {body: `{}`, want: true, payload: true},
		`event["da" + "ta"].n == 1`:                          {body: `{"n":1}`, want: true, payload: true},
		`size(event.data) == 1`:                              {body: nested(most, ""), want: true, payload: true},
		`size(event.data) == 1026`:                           {body: nested(most+1, ""), want: true, payload: true},
		`event.data.startsWith("[[")`:                        {body: strings.Repeat("[", 5<<20), want: true, payload: true},
	} {
		compiled, err := newCondition(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if compiled.payload != c.payload {
			t.Errorf("%s reads the payload: %v", expression, compiled.payload)
		}
		e := queue.Event{Type: "a", Header: http.Header{"Content-Type": {"application/json"}, "X-Shop": {"1", "2"}}, Body: []byte(c.body)}
		vars := eventVars(&e)
		if c.payload {
			vars["data"] = payloadValue(e.Header, e.Body)
		}
		if got, err := compiled.match(&conditionBudget{of: t.Context()}, vars); got != c.want || err != nil {
			t.Errorf("%s of %.50s: %v (%v)", expression, c.body, got, err)
		}
	}
}

func TestConditionErrors(t *testing.T) {
	for expression, want := range map[string]string{
		`event.typ == "x"`:                         "event.typ is not known: want event.id, .type,",
		`event.data.a == 1 || event["typ"] == "x"`: "event.typ is not known",
		`"typ" in event`:                           "event.typ is not known",
		`has(event.payload)`:                       "event.payload is not known",
		`event.data.a.exists(x, x == event.name)`:  "event.name is not known",
		`event.headers["X-Shop"] == "1"`:           `want "x-shop"`,
		`"X-Shop" in event.headers`:                `want "x-shop"`,
		`has(event.headers.Shop)`:                  `want "shop"`,
		`event.type + "a"`:                         "want bool",
		`data.a == 1`:                              "undeclared reference",
		`event.type == `:                           "Syntax error",
	} {
		if _, err := newCondition(expression); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", expression, err, want)
		}
	}
}
