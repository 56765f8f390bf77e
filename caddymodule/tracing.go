package caddymodule

import (
	"context"
	"net/http"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
)

const tracerName = "github.com/sluice-webhooks/sluice"

// traceContext reads and writes the W3C headers. An event keeps those of the request that brought it, so that its attempts, hours later or after a restart, belong to
// the same trace.
var traceContext propagation.TraceContext

// tracers hands the tracer of the receiving leg to the forwarding leg: Caddy's tracer belongs to the `tracing` handler of a route and reaches
// us only through the requests that pass it.
type tracers struct {
	shown    func(*queue.Event) *queue.Event // what a trace may have of an event
	latest   atomic.Pointer[trace.TracerProvider]
	attempts *lru.Cache[attemptKey, trace.SpanContext] // the last attempt of deliveries that are retried
}

type attemptKey struct {
	event       queue.ID
	destination string
}

// maxTracedRetries bounds the deliveries whose next attempt is linked to the one before.
const maxTracedRetries = 4096

func newTracers(shown func(*queue.Event) *queue.Event) *tracers {
	attempts, err := lru.New[attemptKey, trace.SpanContext](maxTracedRetries)
	if err != nil { // only a size that is not positive fails
		panic(err)
	}
	return &tracers{shown: shown, attempts: attempts}
}

// note remembers the tracer of a request that is traced.
func (t *tracers) note(ctx context.Context) {
	if span := trace.SpanFromContext(ctx); span.SpanContext().IsValid() {
		provider := span.TracerProvider()
		t.latest.Store(&provider)
	}
}

// attempt begins the span of an attempt as a child of the request that brought the event, linked to the span of the attempt before. Without a tracer it
// hands the incoming context on.
func (t *tracers) attempt(ctx context.Context, try *delivery.Try, h http.Header) (context.Context, func(delivery.Result)) {
	event := try.Event
	if event.TraceParent != "" {
		h.Set("Traceparent", event.TraceParent)
		if event.TraceState != "" {
			h.Set("Tracestate", event.TraceState)
		}
	}
	provider := t.latest.Load()
	if provider == nil {
		return ctx, func(delivery.Result) {}
	}
	parent := traceContext.Extract(ctx, propagation.HeaderCarrier(h))
	shown := t.shown(event)
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(
			attribute.String("webhook.event", event.ID.String()), attribute.String("webhook.event_id", shown.EventID),
			attribute.String("webhook.type", shown.Type), attribute.String("webhook.source", event.Source),
			attribute.String("webhook.destination", try.Delivery.Destination), attribute.Int("webhook.attempt", try.Attempt),
			attribute.String("webhook.trigger", try.Trigger.String()),
		),
	}
	key := attemptKey{event.ID, try.Delivery.Destination}
	if before, ok := t.attempts.Get(key); ok {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: before}))
	}
	spanCtx, span := (*provider).Tracer(tracerName).Start(parent, "webhook attempt", options...)
	traceContext.Inject(spanCtx, propagation.HeaderCarrier(h))
	return spanCtx, func(result delivery.Result) {
		if result.Status != 0 {
			span.SetAttributes(attribute.Int("http.response.status_code", result.Status))
		}
		if result.Class == "" && result.Status >= 200 && result.Status < 300 {
			t.attempts.Remove(key)
		} else {
			t.attempts.Add(key, span.SpanContext())
			span.SetAttributes(attribute.String("error.type", result.Class))
			span.SetStatus(codes.Error, result.Class)
		}
		span.End()
	}
}
