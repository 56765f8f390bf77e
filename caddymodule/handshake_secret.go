package caddymodule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// Keys of the store's metadata under which a source keeps what handshakes brought. Secrets are told apart by a hash behind the source's name.
const (
	metaHandshakeSecret  = "handshake/secret/"
	metaHandshakeSurface = "handshake/surface/"
)

// maxHandshakeSecrets bounds how many secrets handshakes may bring to one source.
const maxHandshakeSecrets = 64

// mayTakeSecret decides whether a handshake that nothing vouches for may bring a secret. Anybody who knows the address can make one up, and sign events with it
// then. So the first one is taken, while the source has none; further ones only at an address that is itself a secret, whose token has been checked.
func (h *Handler) mayTakeSecret() error {
	switch n := h.secrets.count(); {
	case h.token == nil && n > 0:
		return fmt.Errorf("%w: a handshake brings another secret, and the source has one: give its address a `token` to accept more", verifiers.ErrMismatch)
	case n >= maxHandshakeSecrets:
		return fmt.Errorf("%w: a handshake brings another secret, and the source has %d", verifiers.ErrMismatch, n)
	}
	return nil
}

// adoptSecret makes a secret live that a handshake brings, and keeps it for after a restart.
func (h *Handler) adoptSecret(ctx context.Context, value []byte) error {
	h.adopting.Lock() // of two first handshakes, one is the first
	defer h.adopting.Unlock()
	if h.secrets.has(value) {
		return nil
	}
	if err := h.mayTakeSecret(); err != nil {
		return err
	}
	if err := h.provider.CheckSecret(verifiers.NewSecret(value)); err != nil {
		return fmt.Errorf("%w: secret of a handshake cannot be used", verifiers.ErrMalformed)
	}
	sum := sha256.Sum256(value)
	if err := h.putMeta(ctx, metaHandshakeSecret+h.Name+"/"+hex.EncodeToString(sum[:8]), value); err != nil {
		return fmt.Errorf("keeping the secret of a handshake: %w", err)
	}
	h.secrets.add(append([]byte(nil), value...))
	h.logger.Info("a handshake brought a secret, which is live now")
	if !h.app.encrypted() {
		h.logger.Warn("the secret of a handshake is on the disk as it is: set `encryption_key` in the store's options to encrypt everything at rest")
	}
	return nil
}

// surfaceToken puts a token where the operator finds it, who is to paste it into the provider's dashboard or to configure it as the secret.
func (h *Handler) surfaceToken(ctx context.Context, token string) error {
	if h.secrets.has([]byte(token)) {
		return nil
	}
	if err := h.mayTakeSecret(); err != nil {
		return err
	}
	if err := h.putMeta(ctx, metaHandshakeSurface+h.Name, []byte(token)); err != nil {
		return fmt.Errorf("keeping the token of a handshake: %w", err)
	}
	h.logger.Warn("a handshake brought a token for you: see `caddy webhooks sources`")
	return nil
}

// encrypted tells whether the store encrypts what it holds.
func (app *App) encrypted() bool {
	store, ok := app.store.(interface{ Encrypted() bool })
	return ok && store.Encrypted()
}

// adoptHandshakeSecrets makes secrets live that handshakes brought before a restart or reload.
func (app *App) adoptHandshakeSecrets(ctx context.Context, store queue.Metadata) error {
	return store.ListMeta(ctx, metaHandshakeSecret, "", func(key string, value []byte) bool {
		name, _, _ := strings.Cut(key[len(metaHandshakeSecret):], "/")
		if h, ok := app.sources[name]; ok {
			h.secrets.add(append([]byte(nil), value...))
		}
		return true
	})
}
