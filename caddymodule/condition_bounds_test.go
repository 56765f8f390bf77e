package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// ofItems are the variables of an event with a list of n objects.
func ofItems(n int) map[string]any {
	body := `{"items":[` + strings.TrimSuffix(strings.Repeat(`{"sku":"B"},`, n), ",") + `],"text":"` + strings.Repeat("x", 1<<20) + `"}`
	e := queue.Event{Type: "a", Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)}
	vars := eventVars(&e)
	vars["data"] = payloadValue(e.Header, e.Body)
	return vars
}

func matchWith(t *testing.T, budget *conditionBudget, expression string, vars map[string]any) (bool, error) {
	t.Helper()
	c, err := newCondition(expression)
	if err != nil {
		t.Fatal(err)
	}
	return c.match(budget, vars)
}

// unhurried is a budget that a slow machine does not spend.
func unhurried(t *testing.T) *conditionBudget {
	return &conditionBudget{of: t.Context(), ctx: t.Context()}
}

// A list as long as a payload may hold is gone through to its end.
func TestConditionsGoThroughLongLists(t *testing.T) {
	vars := ofItems(180_000)
	for expression, want := range map[string]bool{
		`event.data.items.exists(x, x.sku == "A")`:              false,
		`event.data.items.all(x, x.sku == "B")`:                 true,
		`size(event.data.items.filter(x, x.sku == "A")) == 1`:   false,
		`size(event.data.items.map(x, x.sku + "!")) == 180000`:  true,
		`event.data.items.exists_one(x, x.sku == event.source)`: false,
	} {
		if got, err := matchWith(t, unhurried(t), expression, vars); got != want || err != nil {
			t.Errorf("%s: %v (%v), want %v", expression, got, err, want)
		}
	}
}

// A condition whose time is over lets the event pass; one that goes through nothing needs none.
func TestConditionsEndWithTheirTime(t *testing.T) {
	vars := ofItems(1000)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for expression, want := range map[string]error{
		`event.data.items.exists(x, x.sku == "A")`: errConditionTime,
		`!event.data.items.exists(x, event.data.items.exists(y, event.data.items.exists(z, x.sku + y.sku + z.sku == "A")))`: errConditionTime,
		`event.data.items.exists(x, x.sku == "A") || event.type == "b"`:                                                     errConditionTime,
		`event.type == "b"`: nil,
	} {
		got, err := matchWith(t, &conditionBudget{of: t.Context(), ctx: over}, expression, vars)
		if got != (want != nil) || !errors.Is(err, want) {
			t.Errorf("%s: %v (%v), want %v", expression, got, err, want)
		}
	}
}

// What expressions build has a bound of its own, because memory can be full before the time is over.
func TestConditionsBuildNoMoreThanTheyMay(t *testing.T) {
	vars := ofItems(1000)
	for _, expression := range []string{
		`size(event.data.items.map(x, event.data.text + x.sku)) == 1`,
		`event.data.items.exists(x, size(bytes(event.data.text)) == 1)`,
		`event.data.items.exists(x, event.data.items.map(y, event.data.items.map(z, z)) == [])`,
	} {
		if got, err := matchWith(t, unhurried(t), expression, vars); !got || !errors.Is(err, errConditionMemory) {
			t.Errorf("%s: %v (%v), want %v", expression, got, err, errConditionMemory)
		}
	}
}

// The time of conditions is that of a request, and leaves some of it for what comes after them.
func TestConditionsShareTheTimeOfTheirRequest(t *testing.T) {
	at := time.Now()
	setClock(t, func() time.Time { return at })
	for left, want := range map[time.Duration]time.Duration{time.Hour: conditionTime, time.Second: time.Second / 2, -time.Second: -time.Second / 2} {
		var d deadlines
		sender, leave := context.WithCancel(t.Context())
		budget := conditionBudget{of: d.of(sender, at, left)}
		before := time.Now()
		ctx := budget.context()
		end, ok := ctx.Deadline()
		if took := end.Sub(before); !ok || took < want || time.Until(end) > want {
			t.Errorf("%v left: the conditions have %v, want %v", left, took, want)
		}
		if budget.context() != ctx {
			t.Errorf("%v left: the second condition has a time of its own", left)
		}
		leave()
		if budget.end(); !errors.Is(ctx.Err(), context.Canceled) && left > 0 {
			t.Errorf("%v left: %v after the end", left, ctx.Err())
		}
	}
	new(conditionBudget).end()
}
