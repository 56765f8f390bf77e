package caddymodule

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// answerHandshake answers a provider's question. Signed ones are answered after verification, the others before.
func (h *Handler) answerHandshake(ctx context.Context, w http.ResponseWriter, req *verifiers.Request, verified bool) (done bool, err error) {
	if len(h.provider.Spec().Handshakes) == 0 {
		return false, nil
	}
	reply, ok, err := h.provider.Challenge(ctx, req, h.secrets.get(req.At), verified)
	if !ok || err != nil {
		return false, err
	}
	if h.token != nil && !verified {
		if err := h.token.check(req); err != nil {
			return false, err
		}
	}
	if err := h.completeHandshake(ctx, reply); err != nil {
		return false, err
	}
	h.count(resultHandshake, 0)
	h.logger.Info("handshake answered", zap.String("method", req.Method), zap.Int("status", reply.Status), zap.String("client_ip", req.ClientIP))
	h.tellRequest(resultHandshake, "", reply.Status, req.ClientIP)
	h.logRequest(req, resultHandshake, "", reply.Status)
	header := w.Header()
	if h.ackReply.noCookies {
		header.Del("Set-Cookie")
	}
	for name, value := range reply.Header {
		header.Set(name, value)
	}
	if reply.ContentType != "" {
		header.Set("Content-Type", reply.ContentType)
	}
	if reply.Status != http.StatusNoContent {
		header.Set("Content-Length", strconv.Itoa(len(reply.Body)))
	}
	w.WriteHeader(reply.Status)
	_, _ = w.Write(reply.Body) // a provider that is gone asks again
	return true, nil
}

// completeHandshake does what must have happened before the answer leaves: a secret is kept, an address visited, a token put where the operator finds it.
func (h *Handler) completeHandshake(ctx context.Context, reply verifiers.Reply) error {
	if reply.Visit != "" {
		if err := h.app.keys.Visit(ctx, reply.Visit, h.provider.VisitAllowed); err != nil {
			return fmt.Errorf("visiting the confirmation address: %w", err)
		}
	}
	if len(reply.StoreSecret) > 0 {
		if err := h.adoptSecret(ctx, reply.StoreSecret); err != nil {
			return err
		}
	}
	if reply.Surface != "" {
		return h.surfaceToken(ctx, reply.Surface)
	}
	return nil
}

func (h *Handler) putMeta(ctx context.Context, key string, value []byte) error {
	rt, err := h.app.acquire(ctx)
	if err != nil {
		return err
	}
	return rt.store.PutMeta(ctx, key, value)
}
