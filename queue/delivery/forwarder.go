package delivery

import (
	"context"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// Forwarder makes one attempt: it turns an event into a request, sends it, and reads the answer. It is called from many goroutines at
// once, up to the destination's concurrency. It must return soon after ctx ends; a ctx that ends is the attempt's timeout (Policy.Timeout) or
// the end of the engine. It must not keep or change what try points to. A panic is caught and counts as a failed attempt of class "internal".
type Forwarder interface {
	Forward(ctx context.Context, try *Try) Result
}

// ForwarderFunc is a function that is a [Forwarder].
type ForwarderFunc func(ctx context.Context, try *Try) Result

// Forward implements [Forwarder].
func (f ForwarderFunc) Forward(ctx context.Context, try *Try) Result { return f(ctx, try) }

// Try is one attempt that is about to be made.
type Try struct {
	Event    *queue.Event
	Delivery queue.Delivery // as it was claimed: counters do not include this attempt
	Attempt  int            // number of this attempt, from 1, over all series of the delivery
	Trigger  queue.Trigger
	At       time.Time // start of the attempt
}

// Result is what became of one attempt. The engine decides from it what happens next (see [Policy]).
type Result struct {
	// Status is the HTTP status of the answer; 0 if there was none.
	Status int

	// RetryAfter is what the answer's Retry-After header asked for, as a duration from now; 0 or less: nothing. The engine heeds it on 429 and 503.
	RetryAfter time.Duration

	// Class says why the attempt failed, in the words of queue.Attempt.Class. It may be left empty when Status tells everything: the engine then
	// writes "redirect" for 3xx and "status" for the others that are not a success. Any other class means failure whatever the status is:
	// a 200 whose body broke off has status 200 and class "truncated".
	Class string

	// Error is a short text without payload or secret. It is cut after 200 bytes.
	Error string

	// Response holds the first bytes of the answer's body. It is cut after 512 bytes.
	Response []byte

	// Permanent makes the delivery dead at once: no later attempt can succeed (a transform that fails, a body that cannot be built).
	Permanent bool

	// Unreached says that the attempt failed before it came to the application (an enrichment that got no answer): the failure is retried like any other, but
	// the breaker and the pace do not go by it.
	Unreached bool

	// Latency is how long the application took, if that is less than the whole attempt (an enrichment went before); 0: the whole attempt.
	// Automatic concurrency goes by it.
	Latency time.Duration
}

// The classes of failure that the engine itself gives. A forwarder adds "dial", "dns", "tls", "reset", "truncated", "protocol", "transform", "enrich" and "header".
const (
	ClassStatus   = "status"
	ClassRedirect = "redirect"
	ClassTimeout  = "timeout"
	ClassInternal = "internal"
)
