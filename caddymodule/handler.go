package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler is a source: it receives the webhooks of one provider, verifies them, stores them durably and only then answers. It is a terminal handler.
type Handler struct {
	SourceConfig

	app       *App
	logger    *zap.Logger
	provider  *verifiers.Provider
	params    liveParams
	secrets   *secretSet
	token     *tokenGuard
	ackReply  ackReply
	rules     sourceRules
	deadlines deadlines
	meters    *sourceMeters
	secretsAt []caddyfile.Token // where the secrets stand in the Caddyfile
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.webhook", New: func() caddy.Module { return new(Handler) }}
}

// ServeHTTP is the path of one webhook up to its answer: receive, handshake, verify, normalise, enqueue, ack.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	started := now()
	h.app.tracers.note(r.Context())
	ctx := h.deadlines.of(r.Context(), started, h.rules.deadline)
	req, err := h.receive(w, r, started)
	if err != nil {
		return h.failUnread(w, r, err)
	}
	if err := h.awaitSecrets(ctx); err != nil {
		return h.fail(w, req, err)
	}
	if done, err := h.answerHandshake(ctx, w, req, false); done || err != nil {
		return h.fail(w, req, err)
	}
	if err := h.checkMethod(req, false); err != nil {
		return h.fail(w, req, err)
	}
	proof, err := h.verify(ctx, req)
	if err != nil {
		return h.fail(w, req, err)
	}
	if done, err := h.answerHandshake(ctx, w, req, true); done || err != nil {
		return h.fail(w, req, err)
	}
	if err := h.checkMethod(req, true); err != nil {
		return h.fail(w, req, err)
	}
	events, err := h.normalise(ctx, req, proof, r)
	if err != nil {
		return h.fail(w, req, err)
	}
	if len(events) == 0 { // a batch without elements: there is nothing to store, and the provider need not send it again
		return h.ack(ctx, w, started, resultAccepted, nil)
	}
	waiter := h.awaitReply(events)
	defer waiters.leave(waiter)
	receipts, err := h.enqueue(ctx, events)
	if err != nil {
		return h.fail(w, req, err)
	}
	waiters.know(waiter, receipts[0].ID)
	return h.ack(ctx, w, started, h.account(w, events, receipts), waiter)
}

// awaitSecrets waits until secrets that handshakes brought before a restart are live again: without them, genuine requests would be refused.
func (h *Handler) awaitSecrets(ctx context.Context) error {
	if !h.rules.secretByHandshake {
		return nil
	}
	_, err := h.app.acquire(ctx)
	return err
}

// verify checks the token of a source that has one, and the provider's signature.
func (h *Handler) verify(ctx context.Context, req *verifiers.Request) (verifiers.Proof, error) {
	if h.token != nil {
		if err := h.token.check(req); err != nil {
			return verifiers.Proof{}, err
		}
	}
	secrets := h.secrets.get(req.At)
	started := time.Now()
	proof, err := h.provider.Verify(ctx, req, secrets)
	h.meters.verify.Observe(time.Since(started).Seconds())
	if err == nil && proof.SecretIndex >= 0 {
		used := h.meters.secret(proof.SecretIndex)
		used.hits.Inc()
		used.used.Set(float64(req.At.Unix()))
		h.secrets.used(secrets, proof.SecretIndex, req.At)
	}
	return proof, err
}

// enqueue stores the events and returns when that is durable.
func (h *Handler) enqueue(ctx context.Context, events []queue.NewEvent) ([]queue.Receipt, error) {
	rt, err := h.app.acquire(ctx)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	receipts, err := rt.store.Enqueue(ctx, events)
	if err == nil {
		h.meters.commit.Observe(time.Since(started).Seconds())
	}
	return receipts, err
}

// failure is an answer that is not the ack.
type failure struct {
	status int
	result string // label of requests_total
	reason string // label of refused_total, if result is refused
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// retryAfterFull is when a provider is asked to come back to a store that is full, closed or slow.
const retryAfterFull = 30 * time.Second

// fail answers a request that did not become an event. A nil error means that the answer is already written. The sender learns the status and nothing else; the
// log, the metrics and the quarantine say why.
func (h *Handler) fail(w http.ResponseWriter, req *verifiers.Request, err error) error {
	if err == nil {
		return nil
	}
	f := h.classify(err)
	h.count(f.result, 0)
	fields := []zap.Field{zap.String("reason", f.reason), zap.Int("status", f.status), zap.Error(f.err)}
	ip := ""
	if req != nil {
		ip = req.ClientIP
		fields = append(fields, zap.String("client_ip", ip))
	}
	h.tellRequest(f.result, f.reason, f.status, ip)
	noteFailed(w, f)
	h.logRequest(req, f.result, f.reason, f.status)
	retry := time.Duration(0)
	switch {
	case f.result == resultError:
		retry = retryAfterFull
		h.logger.Error("request was not stored", fields...)
	default:
		h.app.metrics.refused.WithLabelValues(h.Name, f.reason).Inc()
		h.logger.Info("request was refused", fields...)
		h.quarantineRequest(req, f)
	}
	if f.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", h.rules.allow)
	}
	if f.status == http.StatusUnauthorized && h.provider.Spec().Scheme == verifiers.SchemeBasic { // without it many clients never send what they have
		w.Header().Set("WWW-Authenticate", `Basic realm="webhook"`)
	}
	if h.ackReply.noCookies {
		w.Header().Del("Set-Cookie")
	}
	if f.status == h.rules.refuseStatus && h.provider.Spec().Ack.Empty { // such a provider checks refusals as well
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(f.status)
		return nil
	}
	refuse(w, f.status, retry)
	return nil
}

// classify says which answer an error means.
func (h *Handler) classify(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	reason := verifiers.Reason(err)
	switch {
	case errors.Is(err, verifiers.ErrKeysUnavailable):
		return &failure{status: http.StatusServiceUnavailable, result: resultError, reason: reason, err: err}
	case errors.Is(err, verifiers.ErrUnreadable):
		return &failure{status: http.StatusBadRequest, result: resultRefused, reason: reason, err: err}
	case reason != "other":
		return &failure{status: h.rules.refuseStatus, result: resultRefused, reason: reason, err: err}
	case errors.Is(err, queue.ErrTooLarge):
		return &failure{status: http.StatusRequestEntityTooLarge, result: resultRefused, reason: "too_large", err: err}
	}
	return &failure{status: http.StatusServiceUnavailable, result: resultError, reason: storeReason(err), err: err}
}

func storeReason(err error) string {
	switch {
	case errors.Is(err, queue.ErrFull):
		return "store_full"
	case errors.Is(err, queue.ErrClosed):
		return "store_closed"
	case errors.Is(err, queue.ErrFailed):
		return "store_failed"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline"
	}
	return "store"
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
