// Package verifiers knows how webhook providers sign, name, acknowledge and hand-shake. It is pure: bytes, headers and
// secrets in, answers out, without I/O. A provider is data over a scheme (see [Spec] and package catalogue); each scheme
// verifies and signs.
package verifiers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Request is what arrived, exactly as the sender sent it.
type Request struct {
	Method   string
	URL      *url.URL // absolute, as the sender saw it: scheme, host, path before any rewrite, raw query
	Header   http.Header
	Body     []byte
	At       time.Time // when it arrived
	ClientIP string
	Source   string // name of the configured source, for expressions
}

// Secret is one live secret of a source: a shared secret, or a public key where the provider signs with a private one.
// It deliberately has no String method that shows it.
type Secret struct {
	value []byte
}

// NewSecret wraps a secret's bytes.
func NewSecret(value []byte) Secret { return Secret{value: value} }

// Bytes returns the secret itself.
func (s Secret) Bytes() []byte { return s.value }

// String hides the secret from logs and errors.
func (Secret) String() string { return "[secret]" }

// GoString hides the secret from logs and errors.
func (Secret) GoString() string { return "[secret]" }

// Format hides the secret from every verb: those that take numbers would print its bytes.
func (Secret) Format(f fmt.State, _ rune) {
	_, _ = f.Write([]byte("[secret]")) // a State that cannot be written to shows nothing
}

// Reasons for which a request is refused. The provider is never told which; the log, the metric and the quarantine are.
var (
	// ErrUnsigned means that the signature, token or timestamp the provider sends is absent.
	ErrUnsigned = errors.New("signature is absent")
	// ErrMalformed means that the signature or timestamp cannot be read as what the provider sends.
	ErrMalformed = errors.New("signature is malformed")
	// ErrMismatch means that no live secret made the signature.
	ErrMismatch = errors.New("signature does not match")
	// ErrStale means that a genuine signature is outside the tolerance.
	ErrStale = errors.New("timestamp is outside the tolerance")
	// ErrKeysUnavailable means that a key or certificate could not be fetched: not the sender's fault, worth a retry.
	ErrKeysUnavailable = errors.New("verification keys are unavailable")
	// ErrUnreadable means that a genuine body is not what the provider sends (answered 400).
	ErrUnreadable = errors.New("body is not readable")
	// ErrCannotSign means that the provider signs with a private key or token that only it has.
	ErrCannotSign = errors.New("scheme cannot sign")
)

// Reason returns the short name of a refusal for metrics and the quarantine: "unsigned", "malformed", "mismatch", "stale",
// "keys_unavailable", "unreadable" or "other".
func Reason(err error) string {
	for _, r := range []struct {
		err  error
		name string
	}{
		{ErrUnsigned, "unsigned"}, {ErrMalformed, "malformed"}, {ErrMismatch, "mismatch"}, {ErrStale, "stale"},
		{ErrKeysUnavailable, "keys_unavailable"}, {ErrUnreadable, "unreadable"},
	} {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	return "other"
}

// Proof says how a request was verified.
type Proof struct {
	SecretIndex int       // which live secret matched, from 0; -1 if the scheme needs none
	SignedAt    time.Time // the signed timestamp; zero if the provider signs none
}

// Verifier checks the signature of requests. Implementations are immutable and safe for concurrent use.
type Verifier interface {
	// Verify reports which of the live secrets vouches for r. All secrets are live: any of them may match. An empty secret never matches. Errors wrap
	// one of the reasons above. Comparisons take constant time; nothing is allocated in proportion to a number the sender chose.
	Verify(ctx context.Context, r *Request, secrets []Secret) (Proof, error)
}

// Signer is a Verifier that can also sign, for the test sender and for forwarding in the provider's own scheme.
type Signer interface {
	// Sign makes r a request that Verify accepts with the same secret at time at: it sets headers, query parameters or body fields, removes older
	// signatures and leaves all else alone. id is the message id for schemes that sign one; schemes without one ignore it.
	Sign(r *Request, secret Secret, id string, at time.Time) error
}

// KeyFetcher fetches keys and certificates for schemes that verify with published ones. Package caddymodule provides the one that does I/O;
// it is bounded, cached and https only. Errors wrap ErrKeysUnavailable, or ErrMismatch if the address is not allowed.
type KeyFetcher interface {
	// Fetch returns the document at rawURL. allowed decides over the host of the address and of every redirect.
	Fetch(ctx context.Context, rawURL string, allowed func(host string) bool) ([]byte, error)
}
