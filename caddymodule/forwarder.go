package caddymodule

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
)

const userAgent = "Sluice-Webhooks/1.0"

// Forward makes one attempt: the event becomes a request that runs through Caddy's reverse_proxy. It implements [delivery.Forwarder].
func (d *Destination) Forward(ctx context.Context, try *delivery.Try) delivery.Result {
	m, result := d.compose(ctx, try)
	if m == nil {
		waiters.hand(try.Event, d.replyOf(try.Event, result, nil))
		return result
	}
	ctx, traced := d.app.tracers.attempt(ctx, try, m.header)
	answer := newRecorder(attemptAnswerKept)
	if waiters.waited(try.Event) {
		answer.keep = maxAnswerRead
	}
	result = d.send(ctx, try, m, answer)
	traced(result)
	if result.Status == http.StatusUnauthorized {
		d.Auth.refused(m.header)
	}
	waiters.hand(try.Event, d.replyOf(try.Event, result, answer))
	return result
}

// forwardOf says how events of a source are sent here.
func (d *Destination) forwardOf(ctx context.Context, source string) (*Forward, error) {
	if f, ok := d.forwardBy[source]; ok {
		return f, nil
	}
	f, err := d.former(ctx, source)
	if err != nil {
		return nil, fmt.Errorf("how source %s is forwarded: %w", source, err)
	}
	return f, nil
}

// orderKey is the order key of an event here; a replay to this destination takes it.
func (d *Destination) orderKey(e *queue.Event) string {
	if f, ok := d.forwardBy[e.Source]; ok {
		return f.orderKey(e)
	}
	return ""
}

// compose builds the message; if that fails, it is nil and the result says why.
func (d *Destination) compose(ctx context.Context, try *delivery.Try) (*message, delivery.Result) {
	e := try.Event
	f, err := d.forwardOf(ctx, e.Source)
	if err != nil {
		return nil, delivery.Result{Class: delivery.ClassInternal, Error: err.Error(), Unreached: true}
	}
	format, untouched := cmp.Or(f.Format, d.Format), f.untouched()
	if !untouched {
		e = withPayload(e)
	}
	payload, replaced := e.Body, false
	if f.Enrich != nil || f.program != nil {
		json, ok := payloadJSON(e.Header, payload)
		if !ok {
			return nil, delivery.Result{Class: classTransform, Error: "payload is neither JSON nor a form", Permanent: true}
		}
		payload, replaced = json, true
	}
	if f.Enrich != nil {
		if payload, err = f.Enrich.request.apply(ctx, try.At, e, payload); err != nil {
			return nil, delivery.Result{Class: classEnrich, Error: err.Error(), Permanent: errors.Is(err, errNotEnrichable), Unreached: true}
		}
	}
	if f.program != nil {
		if payload, err = f.program.run(ctx, payload); err != nil {
			return nil, delivery.Result{Class: classTransform, Error: err.Error(), Permanent: !mayPass(err), Unreached: true}
		}
	}
	m, err := render(format, e, payload, replaced)
	if err != nil {
		return nil, delivery.Result{Class: classTransform, Error: err.Error(), Permanent: true}
	}
	query := ""
	if untouched && strings.Contains(e.URL, "?") {
		query = parseStoredURL(e.URL).RawQuery
	}
	m.url = withQuery(d.target, query)
	d.rewriteMessage(ctx, try, &m)
	if err := d.address(ctx, try, f, format, &m); err != nil {
		return nil, delivery.Result{Class: delivery.ClassInternal, Error: err.Error(), Unreached: true}
	}
	return &m, delivery.Result{}
}

// address writes the headers that every forwarded request carries, the configured ones, the credentials and the signatures.
func (d *Destination) address(ctx context.Context, try *delivery.Try, f *Forward, format string, m *message) error {
	h := m.header
	if h.Get("User-Agent") == "" {
		h.Set("User-Agent", userAgent)
	}
	h.Set("Webhook-Attempt", strconv.Itoa(try.Attempt))
	h.Del("Incremental") // it asked us not to wait for the whole body, and reverse_proxy refuses to hand such a wish on where it buffers
	signature, covered := false, false
	if format == formatOriginal && (d.Sign == nil || d.Sign.As == signProvider) {
		signature, covered = d.providersOwn(try.Event, f, h)
	}
	if !signature {
		h.Del("Webhook-Signature")
	}
	if !covered {
		h.Set("Webhook-Id", try.Event.ID.String())
		h.Set("Webhook-Timestamp", strconv.FormatInt(try.At.Unix(), 10))
	}
	if err := d.signer.sign(m, try, f.provider); err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	m.signsAddress = f.signsAddress && d.Sign != nil && d.Sign.As == signProvider
	return d.auth.authorize(ctx, try.At, h)
}

// statusCut is the answer of a reverse_proxy whose request was cancelled.
const statusCut = 499

// send runs the message through reverse_proxy and reads the outcome.
func (d *Destination) send(ctx context.Context, try *delivery.Try, m *message, answer *recorder) delivery.Result {
	phases := new(connectPhases)
	last := new(lastAnswer)
	if d.retriesAnswers {
		ctx = context.WithValue(ctx, lastAnswerKey{}, last)
	}
	req := d.request(phases.trace(ctx), try, m)
	started := time.Now()
	err := checkSendable(req)
	if err == nil {
		err = d.roundTrip(answer, req)
	}
	if err == nil && answer.status == statusCut && errors.Is(ctx.Err(), context.Canceled) {
		answer.status, err = 0, ctx.Err()
	}
	if err != nil && answer.status == 0 && last.status != 0 {
		answer.status, answer.header, err = last.status, last.header, nil
	}
	if err == nil && answer.status == 0 {
		err = errNoFinalStatus
	}
	answer.unpack()
	result := delivery.Result{Status: answer.status, Response: answer.body.Bytes(), Latency: time.Since(started)}
	if err != nil || answer.cut {
		result.Class, result.Error = phases.classify(ctx, err, answer)
		result.Permanent = errors.Is(err, errUnsendable)
		if answer.status == 0 {
			result.Response = nil
		}
		return result
	}
	if answer.status == http.StatusTooManyRequests || answer.status == http.StatusServiceUnavailable {
		result.RetryAfter = retryAfter(answer.header.Get("Retry-After"), time.Now())
	}
	return result
}

// request prepares the request as Caddy's server prepares those that it received.
func (d *Destination) request(ctx context.Context, try *delivery.Try, m *message) *http.Request {
	e := try.Event
	newBody := func() io.ReadCloser { return io.NopCloser(bytes.NewReader(m.body)) }
	req := (&http.Request{
		Method: m.method, URL: m.url, Host: m.url.Host, RequestURI: m.url.RequestURI(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: m.header, Body: newBody(), ContentLength: int64(len(m.body)), RemoteAddr: remoteAddr(e.ClientIP),
		// that the application has closed its idle connection meanwhile is seen when the body is under way: then it is read again
		GetBody: func() (io.ReadCloser, error) { return newBody(), nil },
	}).WithContext(ctx)
	repl := d.headerFiles.replacer(try.At)
	repl.Map(func(key string) (any, bool) { return d.placeholder(e, key) })
	req = caddyhttp.PrepareRequest(req, repl, nil, outgoingServer)
	if d.Headers != nil {
		d.Headers.ApplyToRequest(req)
	}
	repl.Map(func(key string) (any, bool) {
		if key != hostPlaceholder {
			return nil, false
		}
		return d.host(req, m, repl)
	})
	return req
}

// placeholder is the value of a {webhook.*} placeholder in what is sent to the destination.
func (d *Destination) placeholder(e *queue.Event, key string) (any, bool) {
	switch key {
	case "webhook.id":
		return e.ID.String(), true
	case "webhook.event_id":
		return e.EventID, true
	case "webhook.type":
		return e.Type, true
	case "webhook.source":
		return e.Source, true
	case "webhook.provider":
		return e.Provider, true
	case "webhook.destination":
		return d.name, true
	}
	return nil, false
}

// roundTrip calls reverse_proxy, which aborts by a panic when an answer breaks off after its header was passed on.
func (d *Destination) roundTrip(w *recorder, req *http.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { //nolint:errorlint // the very value is what is thrown
				panic(p)
			}
			err = errBrokeOff
		}
	}()
	return d.proxy.ServeHTTP(w, req, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil }))
}

// maxAsked bounds the seconds that a Retry-After may ask for: more does not fit a duration. How long is waited is bounded by the policy.
const maxAsked = 1e9

// retryAfter reads a Retry-After header: seconds or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	if n, err := strconv.ParseInt(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) { // then n is the largest
		return time.Duration(min(max(n, 0), maxAsked)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

var _ delivery.Forwarder = (*Destination)(nil)
