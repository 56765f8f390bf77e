package delivery

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sluice-webhooks/sluice/queue"
)

func TestOutcomeOfAnAnswer(t *testing.T) {
	rules := Policy{
		DeadOn:    []StatusRule{StatusClass(4), Status(204)},
		DeliverOn: []StatusRule{Status(409), {300, 399}},
		RetryOn:   []StatusRule{Status(429), {409, 410}, Status(409)},
	}
	tests := map[string]struct {
		policy Policy
		result Result
		state  queue.State
		class  string
		health health
	}{
		"200":                         {Policy{}, Result{Status: 200}, queue.StateDelivered, "", healthGood},
		"299":                         {Policy{}, Result{Status: 299}, queue.StateDelivered, "", healthGood},
		"302":                         {Policy{}, Result{Status: 302}, queue.StatePending, "redirect", healthBad},
		"404":                         {Policy{}, Result{Status: 404}, queue.StatePending, "status", healthBad},
		"410 by default":              {Policy{}, Result{Status: 410}, queue.StateDead, "status", healthGood},
		"410 with an empty list":      {Policy{DeadOn: []StatusRule{}}, Result{Status: 410}, queue.StatePending, "status", healthBad},
		"410 is delivered":            {Policy{DeliverOn: []StatusRule{Status(410)}}, Result{Status: 410}, queue.StateDelivered, "", healthGood},
		"410 is tried again":          {Policy{RetryOn: []StatusRule{StatusClass(4)}}, Result{Status: 410}, queue.StatePending, "status", healthBad},
		"500":                         {Policy{}, Result{Status: 500}, queue.StatePending, "status", healthBad},
		"1xx as the last word":        {Policy{}, Result{Status: 103}, queue.StatePending, "status", healthBad},
		"dial error":                  {Policy{}, Result{Class: "dial"}, queue.StatePending, "dial", healthBad},
		"200 that broke off":          {Policy{}, Result{Status: 200, Class: "truncated"}, queue.StatePending, "truncated", healthBad},
		"410 that broke off":          {Policy{}, Result{Status: 410, Class: "reset"}, queue.StatePending, "reset", healthBad},
		"transform":                   {Policy{}, Result{Class: "transform", Permanent: true}, queue.StateDead, "transform", healthUnknown},
		"enrichment":                  {Policy{}, Result{Class: "enrich", Unreached: true}, queue.StatePending, "enrich", healthUnknown},
		"class of the status is told": {Policy{}, Result{Status: 410, Class: "status"}, queue.StateDead, "status", healthGood},
		"rule of a class":             {rules, Result{Status: 404}, queue.StateDead, "status", healthGood},
		"narrower beats class":        {rules, Result{Status: 429}, queue.StatePending, "status", healthBad},
		"range beats class":           {rules, Result{Status: 410}, queue.StatePending, "status", healthBad},
		"deliver before retry":        {rules, Result{Status: 409}, queue.StateDelivered, "", healthGood},
		"deliver a redirect":          {rules, Result{Status: 302}, queue.StateDelivered, "", healthGood},
		"dead on a 2xx":               {rules, Result{Status: 204}, queue.StateDead, "status", healthGood},
		"other 2xx":                   {rules, Result{Status: 200}, queue.StateDelivered, "", healthGood},
	}
	now := time.Unix(1000, 0)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			policy := test.policy.withDefaults()
			try := &Try{Event: &queue.Event{ReceivedAt: now}, Attempt: 1, At: now}
			o := decide(&policy, try, test.result, now.Add(time.Second), 0)
			if a := o.settlement.Attempt; o.settlement.State != test.state || a.Class != test.class || o.health != test.health || a.Status != test.result.Status || a.Duration != time.Second {
				t.Errorf("got %s, class %q, health %d: %+v", o.settlement.State, a.Class, o.health, a)
			}
			if pending := o.settlement.State == queue.StatePending; pending != !o.settlement.Due.IsZero() {
				t.Errorf("due %s in state %s", o.settlement.Due, o.settlement.State)
			}
		})
	}
}

func TestRecordOfAnAttemptIsBounded(t *testing.T) {
	policy := Policy{}.withDefaults()
	r := Result{Status: 500, Error: strings.Repeat("x", 199) + "ü", Response: make([]byte, 10000)}
	o := decide(&policy, &Try{Event: &queue.Event{}}, r, time.Unix(1, 0), 0)
	if a := o.settlement.Attempt; len(a.Error) != 199 || !utf8.ValidString(a.Error) || len(a.Response) != 512 {
		t.Errorf("error of %d bytes, answer of %d", len(a.Error), len(a.Response))
	}
}

func TestPolicyRefusesNonsense(t *testing.T) {
	bad := map[string]Policy{
		"timeout":     {Timeout: -1},
		"concurrency": {Concurrency: -1},
		"too many":    {Concurrency: maxConcurrency + 1},
		"park":        {Order: OrderPolicy{Park: -1}},
		"rate":        {Rate: Rate{PerSecond: -1}},
		"burst":       {Rate: Rate{Burst: 1}},
		"no rate":     {Rate: Rate{PerSecond: math.NaN()}},
		"all at once": {Rate: Rate{PerSecond: math.Inf(1)}},
		"slow":        {Rate: Rate{PerSecond: 1e-10}},
		"huge burst":  {Rate: Rate{PerSecond: 1, Burst: math.MaxInt}},
		"no ratio":    {Breaker: BreakerPolicy{Ratio: math.NaN()}},
		"for ever":    {Timeout: math.MaxInt64},
		"open always": {Breaker: BreakerPolicy{Open: math.MaxInt64}},
		"status":      {DeadOn: []StatusRule{{0, 99}}},
		"range":       {RetryOn: []StatusRule{{500, 400}}},
		"failures":    {Breaker: BreakerPolicy{Failures: -1}},
		"ratio":       {Breaker: BreakerPolicy{Ratio: 1.1}},
		"open":        {Breaker: BreakerPolicy{Open: -1}},
		"retry":       {Retry: RetryPolicy{MaxAttempts: -1}},
	}
	for name, policy := range bad {
		if policy.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := (Policy{}).Validate(); err != nil {
		t.Error("the default policy:", err)
	}
	a := always(200)
	for name, routes := range map[string]*Routes{
		"no forwarder": table(&Destination{Name: "app"}),
		"other name":   {Destinations: map[string]*Destination{"app": a.destination("other", Policy{})}},
		"bad name":     table(a.destination("a b", Policy{})),
		"bad policy":   table(a.destination("app", Policy{Timeout: -1})),
		"nil":          {Destinations: map[string]*Destination{"app": nil}},
	} {
		if routes.Validate() == nil {
			t.Errorf("routes with %s: accepted", name)
		}
	}
	if err := table(a.destination("app", Policy{})).Validate(); err != nil {
		t.Error(err)
	}
}
