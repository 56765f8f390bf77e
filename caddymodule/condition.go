package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"github.com/sluice-webhooks/sluice/queue"
)

// condition is a compiled `when` expression.
type condition struct {
	program cel.Program
	text    string
	payload bool // it reads the payload
	loops   bool // it goes through lists or objects
}

func newCondition(text string) (*condition, error) {
	env, err := cel.NewEnv(cel.Variable("event", cel.MapType(cel.StringType, cel.DynType)))
	if err != nil {
		return nil, fmt.Errorf("preparing CEL: %w", err)
	}
	compiled, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, fmt.Errorf("expression %q: %w", text, issues.Err())
	}
	if t := compiled.OutputType(); t != cel.BoolType && t != cel.DynType {
		return nil, fmt.Errorf("expression %q is of type %s: want bool", text, t)
	}
	payload, err := readsPayload(compiled.NativeRep().Expr())
	if err != nil {
		return nil, fmt.Errorf("expression %q: %w", text, err)
	}
	program, err := env.Program(compiled, conditionBounds()...)
	if err != nil {
		return nil, fmt.Errorf("expression %q: %w", text, err)
	}
	return &condition{program: program, text: text, payload: payload, loops: goesThrough(compiled.NativeRep().Expr())}, nil
}

// eventFields are what expressions see of an event.
var eventFields = []string{"id", "type", "source", "provider", "subject", "time", "received_at", "headers", "data"}

// readsPayload checks the names by which an expression reads the event, and reports whether the payload may be among what it reads. A name that no event has would
// make the condition false forever, and each event would be kept from its destination.
func readsPayload(expr ast.Expr) (bool, error) {
	var wrong error
	mentions, others := 0, 0 // of the event, and those that read another field than the payload
	ast.PostOrderVisit(expr, ast.NewExprVisitor(func(e ast.Expr) {
		if isEvent(e) {
			mentions++
		}
		of, name, ok := nameIn(e)
		if !ok {
			return
		}
		parent, field, ok := nameIn(of)
		switch {
		case isEvent(of) && !slices.Contains(eventFields, name):
			wrong = fmt.Errorf("event.%s is not known: want event.%s", name, strings.Join(eventFields, ", ."))
		case isEvent(of) && name != "data":
			others++
		case ok && isEvent(parent) && field == "headers" && name != strings.ToLower(name):
			wrong = fmt.Errorf("header %q: names of headers are in lower case here, want %q", name, strings.ToLower(name))
		}
	}))
	return mentions > others, wrong
}

func isEvent(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == "event" }

// nameIn reads x.name, x["name"] and "name" in x.
func nameIn(e ast.Expr) (of ast.Expr, name string, ok bool) {
	switch e.Kind() {
	case ast.SelectKind:
		return e.AsSelect().Operand(), e.AsSelect().FieldName(), true
	case ast.CallKind:
		call := e.AsCall()
		args := call.Args()
		switch call.FunctionName() {
		case operators.Index:
			of, e = args[0], args[1]
		case operators.In:
			of, e = args[1], args[0]
		default:
			return nil, "", false
		}
		if e.Kind() == ast.LiteralKind {
			name, ok = e.AsLiteral().Value().(string)
		}
	}
	return of, name, ok
}

// match evaluates the expression within the budget. A field that the event does not have makes it false; any other failure is an error, upon which the caller
// lets the event pass, because a mistake in an expression must not cost an event.
func (c *condition) match(budget *conditionBudget, vars map[string]any) (bool, error) {
	ctx := context.Background() // without loops nothing looks at it
	if c.loops {
		ctx = budget.context()
	}
	out, _, err := c.program.ContextEval(ctx, map[string]any{"event": vars, builtName: new(int)})
	if err != nil {
		if strings.HasPrefix(err.Error(), "no such key") {
			return false, nil
		}
		return true, conditionError(err)
	}
	ok, isBool := out.Value().(bool)
	if !isBool {
		return true, errors.New("when: the expression did not give true or false")
	}
	return ok, nil
}

// eventVars is what expressions see of an event, but for its payload.
func eventVars(e *queue.Event) map[string]any {
	headers := make(map[string]any, len(e.Header))
	for name, values := range e.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return map[string]any{
		"id": e.EventID, "type": e.Type, "source": e.Source, "provider": e.Provider, "subject": e.Subject,
		"time": e.Time, "received_at": e.ReceivedAt, "headers": headers,
	}
}

// payloadValue is the payload as a value: JSON as it is, a form as an object of its fields, anything else as text.
func payloadValue(h http.Header, body []byte) any {
	raw, ok := payloadJSON(h, body)
	if !ok {
		return string(body)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return string(body)
	}
	return withFloats(value)
}

// withFloats makes all numbers of a value what CEL compares with any other number. One that is too large is infinite.
func withFloats(value any) any {
	switch v := value.(type) {
	case json.Number:
		n, _ := strconv.ParseFloat(v.String(), 64)
		return n
	case []any:
		for i := range v {
			v[i] = withFloats(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = withFloats(v[name])
		}
	}
	return value
}
