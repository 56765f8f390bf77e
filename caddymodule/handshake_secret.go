package caddymodule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// Keys of the store's metadata under which a source keeps what handshakes brought. Behind the source's name stand, for a secret, the provider that it is for and a
// hash that tells it from others; earlier versions left the provider out.
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
	h.secrets.adopting.Lock() // of two first handshakes, one is the first
	defer h.secrets.adopting.Unlock()
	if h.secrets.has(value) {
		return nil
	}
	if err := h.mayTakeSecret(); err != nil {
		return err
	}
	if err := h.provider.CheckSecret(verifiers.NewSecret(value)); err != nil {
		return fmt.Errorf("%w: secret of a handshake cannot be used", verifiers.ErrMalformed)
	}
	if err := h.putMeta(ctx, h.handshakeSecretKey(value), value); err != nil {
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

// handshakeSecretKey is where a secret is kept.
func (h *Handler) handshakeSecretKey(value []byte) string {
	sum := sha256.Sum256(value)
	return metaHandshakeSecret + h.Name + "/" + h.Provider + "/" + hex.EncodeToString(sum[:8])
}

// adoptHandshakeSecrets makes secrets live that handshakes brought before a restart or reload.
func (app *App) adoptHandshakeSecrets(ctx context.Context, store queue.Metadata) error {
	var failed error
	err := store.ListMeta(ctx, metaHandshakeSecret, "", func(key string, value []byte) bool {
		name, rest, _ := strings.Cut(key[len(metaHandshakeSecret):], "/")
		if h, ok := app.sources[name]; ok {
			failed = h.adoptKept(ctx, store, key, rest, value)
		}
		return failed == nil
	})
	return errors.Join(err, failed)
}

// adoptKept makes a secret live again that is kept for the source, behind whose name rest stands. One that a handshake of another provider brought stays where it
// is: anybody may have brought it, and it would vouch for what it was not brought for. One of an earlier version, which does not say for which
// provider it is, is this provider's if that takes any, and only this one's from then on.
func (h *Handler) adoptKept(ctx context.Context, store queue.Metadata, key, rest string, value []byte) error {
	slash := strings.LastIndexByte(rest, '/')
	bound := slash >= 0
	takes := h.rules.storesSecret && (!bound || rest[:slash] == h.Provider)
	if !takes || h.provider.CheckSecret(verifiers.NewSecret(value)) != nil {
		return nil //nolint:nilerr // one that cannot be used is as good as none
	}
	h.secrets.add(append([]byte(nil), value...))
	if bound {
		return nil
	}
	if err := store.PutMeta(ctx, h.handshakeSecretKey(value), value); err != nil {
		return fmt.Errorf("keeping the secret of a handshake: %w", err)
	}
	return store.PutMeta(ctx, key, nil)
}
