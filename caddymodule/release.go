package caddymodule

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// errNotReleasable means that a refused request cannot become an event.
var errNotReleasable = errors.New("cannot be released")

// releaseRequest verifies a refused request again with today's secrets, as of the time it arrived, and enqueues it. It is dropped from the quarantine then.
func (rt *runtime) releaseRequest(ctx context.Context, app *App, id string) ([]queue.Receipt, error) {
	if !rt.quarantine.claim(id) {
		return nil, fmt.Errorf("%s %w: it is being released", id, errNotReleasable)
	}
	defer rt.quarantine.unclaim(id)
	h, events, err := rt.admissible(ctx, app, id)
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx) // who asked may be gone; a request that became events must not be released once more
	var receipts []queue.Receipt
	if len(events) > 0 {
		if receipts, err = rt.store.Enqueue(ctx, events); err != nil {
			return nil, err
		}
	}
	h.logger.Info("refused request was released", zap.String("request", id), zap.Int("events", len(receipts)))
	if err := rt.quarantine.drop(ctx, id); err != nil && !errors.Is(err, queue.ErrNotFound) { // it may have grown too old in the meantime
		return nil, err
	}
	return receipts, nil
}

// checkRelease reports what keeps a refused request from being released now; nil if nothing does.
func (rt *runtime) checkRelease(ctx context.Context, app *App, id string) error {
	_, _, err := rt.admissible(ctx, app, id)
	return err
}

// admissible verifies a refused request again and returns the events that it is.
func (rt *runtime) admissible(ctx context.Context, app *App, id string) (*Handler, []queue.NewEvent, error) {
	r, err := rt.quarantine.get(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if r.NoHeader {
		return nil, nil, fmt.Errorf("%s %w: its headers were too large to keep", id, errNotReleasable)
	}
	if r.NoBody {
		return nil, nil, fmt.Errorf("%s %w: its body of %d bytes was too large to keep", id, errNotReleasable, r.Size)
	}
	h := app.source(r.Source)
	if h == nil {
		return nil, nil, fmt.Errorf("%s %w: source %q is not configured", id, errNotReleasable, r.Source)
	}
	events, err := h.admitAgain(ctx, r)
	if err != nil {
		return nil, nil, fmt.Errorf("%s %w: %w", id, errNotReleasable, err)
	}
	return h, events, nil
}

// errHandshake means that a request is a handshake. It never becomes an event, and an answer would come too late.
var errHandshake = errors.New("it is a handshake: have the provider send it again, and drop this one")

// admitAgain puts a kept request through the steps of ServeHTTP from the handshake to normalisation. A token in the address was hidden before it was kept: it is put
// back if it is live now.
func (h *Handler) admitAgain(ctx context.Context, r *refusedRequest) ([]queue.NewEvent, error) {
	req := r.request()
	if h.token != nil {
		h.token.restore(req, r.Token)
		if err := h.token.check(req); err != nil {
			return nil, err
		}
	}
	if err := h.isDelivery(ctx, req, false); err != nil {
		return nil, err
	}
	proof, err := h.provider.Verify(ctx, req, h.secrets.get(now()))
	if err != nil {
		return nil, err
	}
	if err := h.isDelivery(ctx, req, true); err != nil {
		return nil, err
	}
	return h.normalise(ctx, req, proof, &http.Request{Header: req.Header})
}

// isDelivery refuses handshakes, and methods that only they have.
func (h *Handler) isDelivery(ctx context.Context, req *verifiers.Request, verified bool) error {
	if _, ok, err := h.provider.Challenge(ctx, req, h.secrets.get(now()), verified); ok || err != nil {
		return cmp.Or(err, errHandshake)
	}
	return h.checkMethod(req, verified)
}

// request is the refused request in the form in which it was verified.
func (r *refusedRequest) request() *verifiers.Request {
	return &verifiers.Request{
		Method: r.Method, URL: parseStoredURL(r.URL), Header: r.Header, Body: r.body, At: r.At, ClientIP: r.ClientIP, Source: r.Source,
	}
}
