package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"

	"cel.dev/cel-go/cel"
	"github.com/tidwall/gjson"

	"github.com/sluice-webhooks/sluice/queue"
)

// typeFilter selects events by type: one of the globs, if there are any, and none of those with a "!" in front.
type typeFilter struct{ include, exclude []string }

func newTypeFilter(globs []string) (f typeFilter, err error) {
	for _, g := range globs {
		bare, negated := strings.CutPrefix(g, "!")
		if _, err := path.Match(globText(bare), ""); err != nil || bare == "" {
			return f, fmt.Errorf("event type glob %q is not valid: want a pattern such as invoice.* or !invoice.draft", g)
		}
		if negated {
			f.exclude = append(f.exclude, globText(bare))
		} else {
			f.include = append(f.include, globText(bare))
		}
	}
	return f, nil
}

// globText hides slashes from path.Match, for which they separate: in an event type they are letters like any other.
func globText(s string) string { return strings.ReplaceAll(s, "/", "\x00") }

func (f typeFilter) match(eventType string) bool {
	eventType = globText(eventType)
	hit := func(globs []string) bool {
		for _, g := range globs {
			if ok, _ := path.Match(g, eventType); ok { // patterns were checked when they were read
				return true
			}
		}
		return false
	}
	return (len(f.include) == 0 || hit(f.include)) && !hit(f.exclude)
}

// condition is a compiled `when` expression.
type condition struct {
	program cel.Program
	text    string
}

// celCostLimit bounds the work one expression may do on one event.
const celCostLimit = 1_000_000

func newCondition(text string) (*condition, error) {
	env, err := cel.NewEnv(cel.Variable("event", cel.MapType(cel.StringType, cel.DynType)))
	if err != nil {
		return nil, fmt.Errorf("preparing CEL: %w", err)
	}
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, fmt.Errorf("expression %q: %w", text, issues.Err())
	}
	if t := ast.OutputType(); t != cel.BoolType && t != cel.DynType {
		return nil, fmt.Errorf("expression %q is of type %s: want bool", text, t)
	}
	program, err := env.Program(ast, cel.CostLimit(celCostLimit))
	if err != nil {
		return nil, fmt.Errorf("expression %q: %w", text, err)
	}
	return &condition{program: program, text: text}, nil
}

// match evaluates the expression. A field that the event does not have makes it false; any other failure is an error, upon which the caller
// lets the event pass, because a mistake in an expression must not cost an event.
func (c *condition) match(vars map[string]any) (bool, error) {
	out, _, err := c.program.Eval(map[string]any{"event": vars})
	if err != nil {
		if strings.HasPrefix(err.Error(), "no such key") {
			return false, nil
		}
		return true, errors.New("when: the expression failed on this event (a value of an unexpected type, or out of range)") // CEL's own messages quote the payload
	}
	ok, isBool := out.Value().(bool)
	if !isBool {
		return true, errors.New("when: the expression did not give true or false")
	}
	return ok, nil
}

// eventVars is what expressions see of an event.
func eventVars(e *queue.Event) map[string]any {
	e = withPayload(e)
	headers := make(map[string]any, len(e.Header))
	for name, values := range e.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return map[string]any{
		"id": e.EventID, "type": e.Type, "source": e.Source, "provider": e.Provider, "subject": e.Subject,
		"time": e.Time, "received_at": e.ReceivedAt, "headers": headers, "data": payloadValue(e.Header, e.Body),
	}
}

// payloadValue is the payload as a value: JSON as it is, a form as an object of its fields, anything else as text.
func payloadValue(h http.Header, body []byte) any {
	if raw, ok := payloadJSON(h, body); ok {
		return gjson.ParseBytes(raw).Value()
	}
	return string(body)
}

// payloadJSON is the payload as JSON: as it came, or made from a form. A form field with several values becomes an array.
func payloadJSON(h http.Header, body []byte) ([]byte, bool) {
	contentType := h.Get("Content-Type")
	if strings.HasPrefix(contentType, formType) {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, false
		}
		object := make(map[string]any, len(form))
		for name, values := range form {
			if len(values) == 1 {
				object[name] = values[0]
			} else {
				object[name] = values
			}
		}
		raw, err := json.Marshal(object)
		return raw, err == nil
	}
	return body, carriesJSON(contentType, body)
}
