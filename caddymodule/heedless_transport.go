package caddymodule

import (
	"context"
	"io"
	"net/http"
)

// roundTripWithin ends a round trip with its context, and the reading of the answer too, where the transport does not: fastcgi looks at it for the dial only. What the
// transport still does then is left to its own timeouts.
func roundTripWithin(ctx context.Context, transport http.RoundTripper, req *http.Request) (*http.Response, error) {
	type outcome struct {
		resp     *http.Response
		err      error
		panicked any
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			o.panicked = recover()
			done <- o
		}()
		o.resp, o.err = transport.RoundTrip(req) //nolint:bodyclose // whoever gets it closes it
	}()
	select {
	case o := <-done:
		if o.panicked != nil {
			panic(o.panicked) // it belongs to this attempt
		}
		if o.err != nil {
			return nil, o.err
		}
		o.resp.Body = newBodyWithin(ctx, o.resp.Body)
		return o.resp, nil
	case <-ctx.Done():
		go func() {
			if o := <-done; o.resp != nil {
				_ = o.resp.Body.Close() // nobody waits for it any more
			}
		}()
		return nil, ctx.Err()
	}
}

// bodyWithin is closed when its context ends.
type bodyWithin struct {
	io.ReadCloser
	ctx  context.Context
	stop func() bool
}

func newBodyWithin(ctx context.Context, body io.ReadCloser) *bodyWithin {
	return &bodyWithin{body, ctx, context.AfterFunc(ctx, func() { _ = body.Close() })}
}

func (b *bodyWithin) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && b.ctx.Err() != nil { // an end of the connection may look like the end of the answer
		err = b.ctx.Err()
	}
	return n, err
}

func (b *bodyWithin) Close() error {
	b.stop()
	return b.ReadCloser.Close()
}
