package caddymodule

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// OrderWithin holds an event back for a while, so that others of its key that happened before it and arrive after it go first.
type OrderWithin struct {
	// For how long after it happened an event is held back at most. One that takes longer to arrive is not held back at all.
	For caddy.Duration `json:"for"`

	// The expression that says when an event happened: Unix seconds, milliseconds, microseconds or nanoseconds, or RFC 3339. An event without it
	// counts as having happened when it arrived.
	By string `json:"by"`
}

// maxOrderWithin bounds for how long events are held back.
const maxOrderWithin = time.Hour

// orderPlace is the provisioned form of an OrderWithin.
type orderPlace struct {
	within time.Duration
	by     verifiers.Expr
}

// provision checks the options.
func (o *OrderWithin) provision(ordered bool) (*orderPlace, error) {
	within := time.Duration(o.For)
	switch {
	case !ordered:
		return nil, errors.New("without `order by` there is no order to put events into")
	case within <= 0 || within > maxOrderWithin:
		return nil, fmt.Errorf("%s: want more than 0 and at most %s", within, maxOrderWithin)
	}
	by, err := verifiers.ParseExpr(o.By)
	if err != nil {
		return nil, err
	}
	return &orderPlace{within: within, by: by}, nil
}

// delivery is the new delivery of an event to the forward's destination, in its order.
func (f *Forward) delivery(e *queue.Event) queue.NewDelivery {
	d := queue.NewDelivery{Destination: f.destination.name, OrderKey: f.orderKey(e)}
	if f.place == nil || d.OrderKey == "" {
		return d
	}
	d.OrderAt = f.place.of(e)
	d.NotBefore = d.OrderAt.Add(f.place.within)
	return d
}

// of is when the event happened; at the latest when it was received, so that a provider's clock that is ahead cannot hold it back for longer than was asked.
func (p *orderPlace) of(e *queue.Event) time.Time {
	at, ok := parseWhen(p.by.Eval(storedRequest(e)))
	if !ok || at.After(e.ReceivedAt) {
		return e.ReceivedAt
	}
	return at
}

// parseWhen reads a time as providers write it. A number's unit follows from its size.
func parseWhen(text string) (time.Time, bool) {
	text = strings.TrimSpace(text)
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, at.Unix() > 0
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return whenOf(n)
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds > 0 && seconds < maxSeconds) {
		return time.Time{}, false
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(math.Round(part*1e6))*1000), true
}

// What a number of seconds (until the year 2128), milliseconds and microseconds is less than; larger ones are in a smaller unit.
const (
	maxSeconds = 5e9
	maxMillis  = 1e14
	maxMicros  = 1e17
)

func whenOf(n int64) (time.Time, bool) {
	switch {
	case n <= 0:
		return time.Time{}, false
	case n < maxSeconds:
		return time.Unix(n, 0), true
	case n < maxMillis:
		return time.UnixMilli(n), true
	case n < maxMicros:
		return time.UnixMicro(n), true
	}
	return time.Unix(0, n), true
}
