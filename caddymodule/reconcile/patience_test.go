package reconcile_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/caddymodule/reconcile"
	"github.com/sluice-webhooks/sluice/caddymodule/reconcile/reconciletest"
)

// answer is one of a provider's, of which each call gets the next one.
type answer struct {
	status int
	header map[string]string
	body   string
}

const (
	busy      = `{"documentation_url":"https://docs.github.com/en/free-pro-team@latest/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits","message":"x"}`
	secondary = `{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}`
	refused   = `{"message":"Resource not accessible by personal access token","documentation_url":"https://docs.github.com/rest/repos/webhooks"}`
	date      = "Fri, 02 Jan 2026 03:00:00 GMT"
	inHalf    = "1767322830" // half a minute after that
	inHour    = "1767326400"
)

// TestPatience meets limits and failures that pass, and such that do not.
func TestPatience(t *testing.T) {
	good := answer{status: 200, body: `[{"id":"e1"}]`}
	limit := map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": inHalf, "Date": date}
	for name, test := range map[string]struct {
		answers []answer
		waits   []time.Duration
		want    error
	}{
		"as long as asked":                   {[]answer{{429, map[string]string{"Retry-After": "7"}, ""}, good}, []time.Duration{7 * time.Second}, nil},
		"Shopify's fractions":                {[]answer{{429, map[string]string{"Retry-After": "2.0", "X-Shopify-Shop-Api-Call-Limit": "40/40"}, `{"errors":"Exceeded"}`}, good}, []time.Duration{2 * time.Second}, nil},
		"until a moment":                     {[]answer{{503, map[string]string{"Retry-After": "Fri, 02 Jan 2026 03:00:09 GMT", "Date": date}, ""}, good}, []time.Duration{9 * time.Second}, nil},
		"growing, if not asked":              {[]answer{{502, nil, ""}, {429, nil, ""}, {500, nil, ""}, good}, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}, nil},
		"GitHub's limit by 403":              {[]answer{{403, limit, busy}, good}, []time.Duration{31 * time.Second}, nil},
		"GitHub's limit by 429":              {[]answer{{429, limit, busy}, good}, []time.Duration{31 * time.Second}, nil},
		"GitHub's secondary limit, asked":    {[]answer{{403, map[string]string{"Retry-After": "60", "X-RateLimit-Remaining": "4000"}, secondary}, good}, []time.Duration{time.Minute}, nil},
		"GitHub's secondary limit, not":      {[]answer{{403, nil, secondary}, {403, nil, busy}, good}, []time.Duration{time.Minute, 2 * time.Minute}, nil},
		"Stripe asks for another try":        {[]answer{{409, map[string]string{"Stripe-Should-Retry": "true"}, ""}, good}, []time.Duration{time.Second}, nil},
		"Stripe asks for none":               {[]answer{{500, map[string]string{"Stripe-Should-Retry": "false"}, ""}, good}, nil, reconcile.ErrRefused},
		"a refusal":                          {[]answer{{403, map[string]string{"X-RateLimit-Remaining": "4999", "X-RateLimit-Reset": inHalf, "Date": date}, refused}, good}, nil, reconcile.ErrRefused},
		"longer than a listing waits":        {[]answer{{503, map[string]string{"Retry-After": "86400"}, ""}, good}, nil, reconcile.ErrLimited},
		"GitHub's hour":                      {[]answer{{403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": inHour, "Date": date}, busy}, good}, nil, reconcile.ErrLimited},
		"longer than a duration":             {[]answer{{429, map[string]string{"Retry-After": "1e300"}, ""}, good}, nil, reconcile.ErrLimited},
		"a limit that does not end":          {[]answer{{429, nil, ""}}, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}, reconcile.ErrLimited},
		"a failure that does not end":        {[]answer{{500, nil, ""}}, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}, reconcile.ErrRefused},
		"a limit whose end has just been":    {[]answer{{403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1", "Date": date}, ""}, good}, []time.Duration{time.Second}, nil},
		"a limit whose end cannot be read":   {[]answer{{403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "soon"}, ""}, good}, []time.Duration{time.Second}, nil},
		"patience that is less than nothing": {[]answer{{429, map[string]string{"Retry-After": "-1"}, ""}, good}, []time.Duration{time.Second}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			server := reconciletest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
				a := test.answers[min(int(calls.Add(1)), len(test.answers))-1]
				for name, value := range a.header {
					w.Header().Set(name, value)
				}
				w.WriteHeader(a.status)
				fmt.Fprint(w, a.body)
			})
			var waits []time.Duration
			var got []reconcile.Item
			c := client(&reconcile.Listing{URL: server.URL, ID: []string{"id"}, Next: reconcile.Next{By: "none"}}, &waits)
			err := c.List(t.Context(), since, until, func(items []reconcile.Item) error {
				got = items
				return nil
			})
			if !errors.Is(err, test.want) || errors.Is(err, reconcile.ErrLimited) != errors.Is(test.want, reconcile.ErrLimited) || !slices.Equal(waits, test.waits) || (err == nil) != (len(got) == 1) {
				t.Errorf("%v, %v, waited %v", got, err, waits)
			}
		})
	}
}
