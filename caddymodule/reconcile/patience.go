package reconcile

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// Bounds of the patience with a provider.
const (
	maxTries       = 5
	maxWait        = 2 * time.Minute // that a provider may ask for before the next try
	firstWait      = time.Second     // before the second try if the provider does not ask for another; doubles
	firstSecondary = time.Minute     // the same after one of GitHub's secondary limits
)

// get makes one call, and tries again when the provider asks for patience. Errors name the host and status, never the address, a header or the body.
func (c *Client) get(ctx context.Context, address string) ([]byte, http.Header, error) {
	wait := firstWait
	for try := 1; ; try++ {
		body, header, status, err := c.once(ctx, address)
		if err == nil {
			return body, header, nil
		}
		limited := exhausted(status, header, body)
		again := limited || status >= http.StatusInternalServerError || status == 0 || header.Get("Stripe-Should-Retry") == "true"
		if !again || header.Get("Stripe-Should-Retry") == "false" || ctx.Err() != nil {
			return nil, nil, err
		}
		if limited && secondary(body) {
			wait = max(wait, firstSecondary)
		}
		delay, asked := asksFor(header)
		switch {
		case asked && delay > maxWait:
			return nil, nil, fmt.Errorf("%w: %w and asks for %s of patience; what was stored so far stays, and the next run goes on from there", ErrLimited, err, delay.Round(time.Second))
		case try == maxTries && limited:
			return nil, nil, fmt.Errorf("%w: %w %d times", ErrLimited, err, maxTries)
		case try == maxTries:
			return nil, nil, err
		case !asked:
			delay = wait
		}
		if err := c.Wait(ctx, delay); err != nil {
			return nil, nil, err
		}
		wait *= 2
	}
}

// exhausted tells a limit that is used up from a refusal: GitHub answers both with 403.
// See https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api, https://docs.stripe.com/rate-limits and
// https://shopify.dev/docs/api/admin-rest/usage/rate-limits.
func exhausted(status int, header http.Header, body []byte) bool {
	switch status {
	case http.StatusTooManyRequests:
		return true
	case http.StatusForbidden:
		return header.Get("X-Ratelimit-Remaining") == "0" || header.Get("Retry-After") != "" || secondary(body)
	}
	return false
}

// secondary knows the error of GitHub's secondary limits, which may come with no header that says so.
func secondary(body []byte) bool {
	page := gjson.GetBytes(body, "documentation_url").String()
	return strings.HasSuffix(page, "secondary-rate-limits") || strings.Contains(strings.ToLower(gjson.GetBytes(body, "message").String()), "secondary rate limit")
}

// asksFor is how long a provider wants not to be called. Ends that it gives as a moment count from its own clock, the answer's Date.
func asksFor(header http.Header) (time.Duration, bool) {
	after := header.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(after, 64); err == nil && seconds >= 0 { // Shopify: 2.0
		return time.Duration(min(seconds, maxAsked) * float64(time.Second)), true
	}
	at, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return 0, false
	}
	if end, err := http.ParseTime(after); err == nil {
		return max(0, end.Sub(at)), true
	}
	if reset, err := strconv.ParseInt(header.Get("X-Ratelimit-Reset"), 10, 64); err == nil && header.Get("X-Ratelimit-Remaining") == "0" {
		return max(0, time.Unix(reset, 0).Sub(at)) + time.Second, true // after it, not at it
	}
	return 0, false
}

const maxAsked = 1e9 // seconds: more does not fit a duration
