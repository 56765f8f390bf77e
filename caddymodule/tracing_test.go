package caddymodule

import (
	"net/http"
	"testing"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// One trace holds the provider's request and every attempt; the application continues it.
func TestTraceFromRequestToAttempts(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(exporter))
	ctx, request := provider.Tracer("test").Start(t.Context(), "request")
	tr := newTracers(func(e *queue.Event) *queue.Event { return e })
	tr.note(ctx)

	header := make(http.Header)
	traceContext.Inject(ctx, propagation.HeaderCarrier(header))
	event := &queue.Event{ID: 7, Source: "s", EventID: "e", TraceParent: header.Get("Traceparent")}
	var seen []string
	for attempt := 1; attempt <= 2; attempt++ {
		forwarded := make(http.Header)
		_, end := tr.attempt(t.Context(), &delivery.Try{
			Event: event, Attempt: attempt, Trigger: queue.TriggerFirst, Delivery: queue.Delivery{Destination: "d"}, At: time.Now(),
		}, forwarded)
		seen = append(seen, forwarded.Get("Traceparent"))
		end(delivery.Result{Status: 500 - 300*(attempt-1)})
	}
	request.End()

	spans := exporter.GetSpans()
	if len(spans) != 3 {
		t.Fatalf("%d spans", len(spans))
	}
	for i, span := range spans[:2] {
		if span.SpanContext.TraceID() != request.SpanContext().TraceID() || span.Parent.SpanID() != request.SpanContext().SpanID() {
			t.Errorf("attempt %d is not a child of the request", i+1)
		}
		if want := "00-" + span.SpanContext.TraceID().String() + "-" + span.SpanContext.SpanID().String() + "-01"; seen[i] != want {
			t.Errorf("the application gets %s, want %s", seen[i], want)
		}
	}
	if links := spans[1].Links; len(links) != 1 || links[0].SpanContext.SpanID() != spans[0].SpanContext.SpanID() {
		t.Errorf("the second attempt is not linked to the first: %v", links)
	}
}
